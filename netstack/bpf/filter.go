package bpf

import "syscall"

// A Filter is a program that is attached to a socket. Its interpreter is behind a function, so that the
// sockets of programs that cannot attach one are without it.
type Filter struct {
	// Run returns how many bytes of a packet are wanted, 0 if it is not: Program.Run.
	Run func(*Packet) uint32

	original []byte // struct sock_filter, one after another
	size     int    // bytes held
}

// A Maker makes filters: NewFilter, or nil where there are none.
type Maker func(val []byte, locked bool, old *Filter) (*Filter, syscall.Errno)

// optionMemory is net.core.optmem_max, how many bytes the options of one socket may hold.
const optionMemory = 131072

// NewFilter makes a filter of the value of SO_ATTACH_FILTER. locked is whether SO_LOCK_FILTER forbids
// any. old is the filter of before, or nil, which is there until the new one is: sk_attach_filter in
// Linux's net/core/filter.c.
func NewFilter(val []byte, locked bool, old *Filter) (*Filter, syscall.Errno) {
	p, e := fromOption(val, locked)
	if e != 0 {
		return nil, e
	}
	f := &Filter{Run: p.Run, original: p.original, size: 2 * len(p.original)}
	held := f.size
	if old != nil {
		held += old.size
	}
	if held >= optionMemory {
		return nil, syscall.ENOMEM
	}
	return f, 0
}

// Get is SO_GET_FILTER, of no filter if f is nil. As on Linux its lengths are numbers of instructions:
// dst has room for as many, and their number is returned. Without room nothing else is.
func (f *Filter) Get(dst []byte) (int, syscall.Errno) {
	if f == nil {
		return 0, 0
	}
	if len(dst) != 0 && len(dst) < len(f.original) {
		return 0, syscall.EINVAL
	}
	copy(dst, f.original)
	return len(f.original) / InstructionSize, 0
}
