package runq

import (
	"unsafe"
)

// linkAt returns a thread's link.
func linkAt(thread uintptr) *Link { return (*Link)(unsafe.Add(nil, thread)) }
