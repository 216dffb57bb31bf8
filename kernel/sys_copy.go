package kernel

import (
	"sync"
	"syscall"
)

// This file copies between descriptors inside the kernel.

// copyBuffers are buffers for copies. They lie on the heap, so they can be passed to any
// method of a file.
var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// sysSendfile is sendfile(2). The input must be a regular file.
func sysSendfile(k *Kernel, a Args) (uintptr, syscall.Errno) {
	in, e := k.getReadable(&a, 1)
	if e != 0 {
		return 0, e
	}
	defer in.DecRef()
	out, e := k.getWritable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer out.DecRef()
	off, e := fileOffset(&a, 2)
	if e != 0 {
		return 0, e
	}
	if !in.positioned || in == out || out.flags.Load()&syscall.O_APPEND != 0 {
		return 0, syscall.EINVAL
	}
	n := min(a.N[3], maxRW)
	if off != nil {
		done, e := copyFile(in, off, out, nil, int64(n))
		return uintptr(done), e
	}
	in.posMu.Lock()
	defer in.posMu.Unlock()
	done, e := copyFile(in, &in.pos, out, nil, int64(n))
	return uintptr(done), e
}

// copyFile copies up to n bytes to out from position *inOff of in, which it advances. It
// writes at *outOff if outOff is not nil, otherwise like write(2).
func copyFile(in *Description, inOff *int64, out *Description, outOff *int64, n int64) (int64, syscall.Errno) {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	var done int64
	for done < n {
		p := buf[:min(n-done, int64(len(buf)))]
		m, e := in.file.Read(p, *inOff)
		if e != 0 || m == 0 {
			return done, errnoUnless(done, e)
		}
		var w int
		if outOff != nil {
			w, e = out.file.Write(p[:m], *outOff)
			*outOff += int64(max(w, 0))
		} else {
			w, e = out.write(p[:m])
		}
		*inOff += int64(max(w, 0))
		done += int64(max(w, 0))
		if e != 0 || w < m {
			return done, errnoUnless(done, e)
		}
	}
	return done, 0
}

// sysCopyFileRange is copy_file_range(2) between regular files.
func sysCopyFileRange(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[5] != 0 {
		return 0, syscall.EINVAL
	}
	in, e := k.getReadable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer in.DecRef()
	out, e := k.get(&a, 2)
	if e != 0 {
		return 0, e
	}
	defer out.DecRef()
	if e := copyRangeTypes(in, out); e != 0 {
		return 0, e
	}
	if !out.writable() {
		return 0, syscall.EBADF
	}
	inOff, e := fileOffset(&a, 1)
	if e != 0 {
		return 0, e
	}
	outOff, e := fileOffset(&a, 3)
	if e != 0 {
		return 0, e
	}
	return k.copyRange(in, out, inOff, outOff, int64(min(a.N[4], maxRW)))
}

// copyRangeTypes returns the error if the files' types do not allow a copy.
func copyRangeTypes(in, out *Description) syscall.Errno {
	if out.flags.Load()&syscall.O_APPEND != 0 {
		return syscall.EBADF
	}
	for _, d := range [2]*Description{in, out} {
		switch fileType(d.file) {
		case syscall.S_IFREG:
		case syscall.S_IFDIR:
			return syscall.EISDIR
		default:
			return syscall.EINVAL
		}
	}
	return 0
}

// fileType returns the S_IFMT bits.
func fileType(f File) uint32 {
	var st syscall.Stat_t
	f.Stat(&st)
	return st.Mode & syscall.S_IFMT
}

func (k *Kernel) copyRange(in, out *Description, inOff, outOff *int64, n int64) (uintptr, syscall.Errno) {
	// The positions are copied out and in again, instead of holding both locks, because
	// both descriptors may be of the same description.
	inPos, outPos := in.position(), out.position()
	if inOff != nil {
		inPos = *inOff
	}
	if outOff != nil {
		outPos = *outOff
	}
	if sameFile(in.file, out.file) && inPos < outPos+n && outPos < inPos+n {
		return 0, syscall.EINVAL
	}
	done, e := copyFile(in, &inPos, out, &outPos, n)
	if inOff != nil {
		*inOff = inPos
	} else {
		in.setPosition(inPos)
	}
	if outOff != nil {
		*outOff = outPos
	} else {
		out.setPosition(outPos)
	}
	if done > 0 {
		out.wrote(int(done), out.flags.Load())
	}
	return uintptr(done), e
}

func (d *Description) position() int64 {
	d.posMu.Lock()
	defer d.posMu.Unlock()
	return d.pos
}

func (d *Description) setPosition(pos int64) {
	d.posMu.Lock()
	d.pos = pos
	d.posMu.Unlock()
}
