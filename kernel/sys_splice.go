package kernel

import "syscall"

// This file has the calls that move data between pipes and files without copying. Data is not moved
// here: a caller of these has to copy where the kernel cannot (EINVAL), and every library does.
// What Linux refuses, or has nothing to do for, is answered as there (fs/splice.c).

// spliceFlags are the flags of splice(2): SPLICE_F_MOVE, NONBLOCK, MORE, GIFT.
const spliceFlags = 0xf

// sysSplice is splice(2).
func sysSplice(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[4] == 0 {
		return 0, 0
	}
	if a.Int(5)&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	in, out, e := k.spliceEnds(&a, 0, 2)
	if e != 0 {
		return 0, e
	}
	defer in.DecRef()
	defer out.DecRef()
	if isPipe(in) && a.Pointer(1) != nil || isPipe(out) && a.Pointer(3) != nil {
		return 0, syscall.ESPIPE
	}
	return 0, syscall.EINVAL
}

// sysTee is tee(2).
func sysTee(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(3)&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	if a.N[2] == 0 {
		return 0, 0
	}
	in, out, e := k.spliceEnds(&a, 0, 1)
	if e != 0 {
		return 0, e
	}
	in.DecRef()
	out.DecRef()
	return 0, syscall.EINVAL
}

// sysVmsplice is vmsplice(2).
func sysVmsplice(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(3)&^spliceFlags != 0 {
		return 0, syscall.EINVAL
	}
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	switch {
	case a.N[2] == 0:
		return 0, 0
	case !isPipe(d):
		return 0, syscall.EBADF
	}
	return 0, syscall.EINVAL
}

func isPipe(d *Description) bool {
	_, ok := d.file.(*pipeEnd)
	return ok
}

// spliceEnds returns the descriptions of arguments in, which can be read, and out, which can be
// written, each with a reference.
func (k *Kernel) spliceEnds(a *Args, in, out int) (from, to *Description, e syscall.Errno) {
	if from, e = k.get(a, in); e != 0 {
		return nil, nil, e
	}
	if to, e = k.get(a, out); e != 0 {
		from.DecRef()
		return nil, nil, e
	}
	if !from.readable() || !to.writable() {
		from.DecRef()
		to.DecRef()
		return nil, nil, syscall.EBADF
	}
	return from, to, 0
}
