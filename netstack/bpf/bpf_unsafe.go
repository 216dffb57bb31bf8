package bpf

import (
	"encoding/binary"
	"syscall"
	"unsafe"
)

// programSize is sizeof(struct sock_fprog): a number of instructions and, at 8, a pointer to them.
const programSize = 16

// lowestAddress is where memory begins that a program can have mapped: vm.mmap_min_addr.
const lowestAddress = 1 << 16

// fromOption makes a program of the value of SO_ATTACH_FILTER, a struct sock_fprog, which points into
// the caller's memory. locked is whether SO_LOCK_FILTER forbids any: the answers come in the order of
// Linux's sk_attach_filter.
func fromOption(val []byte, locked bool) (*Program, syscall.Errno) {
	if len(val) != programSize {
		return nil, syscall.EINVAL
	}
	if locked {
		return nil, syscall.EPERM
	}
	n := int(binary.NativeEndian.Uint16(val))
	at := *(*unsafe.Pointer)(unsafe.Pointer(&val[8]))
	switch {
	case at == nil || n == 0 || n > MaxInstructions:
		return nil, syscall.EINVAL
	case uintptr(at) < lowestAddress:
		return nil, syscall.EFAULT
	}
	return New(unsafe.Slice((*byte)(at), n*InstructionSize))
}

const sysGetcpu = 309 // which package syscall lacks

// currentCPU is getcpu(2).
func currentCPU() uint32 {
	var cpu uint32
	_, _, _ = syscall.RawSyscall(sysGetcpu, uintptr(unsafe.Pointer(&cpu)), 0, 0)
	return cpu
}
