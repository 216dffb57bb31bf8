package packetsock

import "unsafe"

// charge is how many bytes a packet keeps, Linux's truesize: the data in memory of the allocator's sizes,
// what describes them, and the place in the queue.
func (p *packet) charge() int {
	return cap(p.data) + int(unsafe.Sizeof(*p)) + int(unsafe.Sizeof(p))
}
