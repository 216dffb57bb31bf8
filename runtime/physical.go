package runtime

import (
	"strconv"
	"syscall"
)

// MapPhysical returns size bytes of physical memory from addr on: registers or memory of a device, for a
// driver in the program. They lie at the same virtual address, which drivers of other systems rely on,
// are not cached, and can be read and written, not executed. Loads and stores of the size
// that the device wants are the driver's business: package sync/atomic has them.
//
// addr need not be the start of a page of 4 KiB; what else is in the first and the last one can
// be reached, too. The mapping is there until the machine ends.
//
// The error is a [*PhysicalError] of: [syscall.EINVAL] if size is not positive or the range begins below 64 KiB or
// ends above 128 TiB; [syscall.EPERM] for the machine's RAM, where its page tables and the Go heap
// are (see [AllocDMA]); [syscall.EBUSY] if something is mapped at these addresses already;
// [syscall.ENOMEM] without memory for page tables; or [ErrNotMachine] on other systems. What no
// device answers for reads as ones.
func MapPhysical(addr uint64, size int) ([]byte, error) {
	if !Running() {
		return nil, ErrNotMachine
	}
	if size <= 0 {
		return nil, &PhysicalError{addr, size, syscall.EINVAL}
	}
	mem, errno := mapPhysical(addr, size)
	if errno != 0 {
		return nil, &PhysicalError{addr, size, errno}
	}
	return mem, nil
}

// AllocDMA returns size bytes of RAM that a device can read and write, and their physical address.
// They are zeroed, contiguous and cached, begin with a page of 4 KiB, and lie at that same
// virtual address. The collector neither moves nor frees them, and does not look for pointers in
// them: they are the program's until the machine ends.
//
// The error is a [*PhysicalError] of [syscall.EINVAL] if size is not positive or more than the RAM, [syscall.ENOMEM] if
// there is no such memory in one piece, or [ErrNotMachine] on other systems.
func AllocDMA(size int) (mem []byte, addr uint64, err error) {
	if !Running() {
		return nil, 0, ErrNotMachine
	}
	if size <= 0 {
		return nil, 0, &PhysicalError{0, size, syscall.EINVAL}
	}
	mem, addr, errno := allocDMA(size)
	if errno != 0 {
		return nil, 0, &PhysicalError{0, size, errno}
	}
	return mem, addr, nil
}

// A PhysicalError says why [MapPhysical] or [AllocDMA] failed.
type PhysicalError struct {
	Addr uint64 // 0 for AllocDMA, which chooses it
	Size int    // in bytes
	Err  error
}

func (e *PhysicalError) Error() string {
	text := "memory for DMA, " + strconv.Itoa(e.Size) + " bytes"
	if e.Addr != 0 {
		text = "physical memory at 0x" + strconv.FormatUint(e.Addr, 16) + ", " + strconv.Itoa(e.Size) + " bytes"
	}
	text += ": " + e.Err.Error()
	if e.Err == syscall.EPERM {
		text += ": it is RAM, which AllocDMA gives"
	}
	return text
}

func (e *PhysicalError) Unwrap() error { return e.Err }
