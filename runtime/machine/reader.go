package machine

// A Reader is the machine half's handle for a queue of a disk over which it reads pages
// of mapped files by itself: a fault cannot wait for Go code. 0 is none.
type Reader uintptr

// ReaderSpec is what the driver of a disk tells of such a queue (virtio 1.2 §2.7, split
// virtqueues). Addresses are physical, but for those of registers and of Taken.
type ReaderSpec struct {
	Size  uintptr // entries
	Desc  uintptr // descriptor table
	Avail uintptr // available ring
	Used  uintptr // used ring

	Bell      uintptr // the register that notifies the device
	BellWidth uintptr // 2 or 4 bytes
	Index     uintptr // number of the queue: what is written there

	// Status is InterruptStatus of virtio-mmio (§4.2.2), with InterruptACK behind it, or
	// 0. Taken is the address of a uint32 then, to which causes are added that are taken
	// back and are the driver's: all but used buffers.
	Status uintptr
	Taken  uintptr

	Device Device  // whose interrupt tells of answers
	Own    bool    // that interrupt is for this queue alone
	Legacy bool    // a legacy device (§1.3.1): the length of an answer means nothing
	Pages  uintptr // of one request at most
}
