package netstack

import "unsafe"

// nearStack guesses whether b lies in the calling goroutine's stack. A goroutine's stack is at
// most 1 GiB (runtime/debug.SetMaxStack) and grows down, so memory less than that above this
// frame may be in it.
func nearStack(b []byte) bool {
	var here byte
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))-uintptr(unsafe.Pointer(&here)) < 1<<30
}
