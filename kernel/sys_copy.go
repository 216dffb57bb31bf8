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
func sysSendfile(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.io.copied(k.sendfile(a)) }

func (k *Kernel) sendfile(a Args) (uintptr, syscall.Errno) {
	in, e := k.getReadable(&a, 1)
	if e != 0 {
		return 0, e
	}
	defer in.DecRef()
	if !in.positioned && a.Pointer(2) != nil {
		return 0, syscall.ESPIPE
	}
	off, e := fileOffset(&a, 2)
	if e != 0 {
		return 0, e
	}
	n := int64(min(a.N[3], maxRW))
	if in.from(off)+n < 0 {
		return 0, syscall.EINVAL
	}
	out, e := k.getWritable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer out.DecRef()
	if out.positioned && out.position()+n < 0 {
		return 0, syscall.EINVAL
	}
	if e := canSend(in, out, n); e != 0 {
		return 0, e
	}
	if n == 0 {
		if _, toPipe := out.file.(*pipeEnd); in.positioned && !toPipe {
			in.file.Read(nil, 0) // an access, all the same
		}
		return 0, 0
	}
	return in.sendTo(out, off, n)
}

// canSend checks the files of sendfile(2), as Linux does before it looks at the input's size.
func canSend(in, out *Description, n int64) syscall.Errno {
	p, toPipe := out.file.(*pipeEnd)
	if toPipe {
		if e := p.canWrite(); e != 0 && (e != syscall.EAGAIN || out.nonblocking()) {
			return e
		}
	} else if out.flags.Load()&syscall.O_APPEND != 0 {
		return syscall.EINVAL
	}
	if !in.positioned {
		if _, seeks := in.file.(unmoved); n == 0 && (toPipe || seeks) {
			return 0
		}
		return syscall.EINVAL
	}
	if _, ok := in.file.(DirReader); n > 0 && (ok || !spliced(in.file)) {
		return syscall.EINVAL
	}
	return 0
}

// from returns the offset that off points to, or the file's position if off is nil.
func (d *Description) from(off *int64) int64 {
	if off != nil {
		return *off
	}
	if !d.positioned {
		return 0
	}
	return d.position()
}

// sendTo copies up to n bytes to out. They come from *off, which is advanced, or from d's own
// position if off is nil. The position is copied out and in again: both descriptors may be of
// the same description.
func (d *Description) sendTo(out *Description, off *int64, n int64) (uintptr, syscall.Errno) {
	from := off
	if off == nil {
		pos := d.position()
		from = &pos
	}
	done, e := copyFile(d, from, out, nil, n)
	if off == nil {
		d.setPosition(*from)
	}
	if done > 0 {
		d.notifyAccess()
	}
	return uintptr(done), e
}

// spliced reports whether sendfile(2) reads from a file: not from most of /proc/self, whose files have
// no splice_read on Linux.
func spliced(f File) bool {
	o, ok := f.(*genOpen)
	return !ok || o.file.changes != nil
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
		if _, ok := out.file.(unmoved); ok { // an eventfd, for example, takes only writes of its own
			return done, syscall.EINVAL
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
	return k.io.copied(k.copyFileRange(a))
}

func (k *Kernel) copyFileRange(a Args) (uintptr, syscall.Errno) {
	in, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer in.DecRef()
	out, e := k.get(&a, 2)
	if e != 0 {
		return 0, e
	}
	defer out.DecRef()
	if a.N[5] != 0 {
		return 0, syscall.EINVAL
	}
	if e := copyRangeTypes(in, out); e != 0 {
		return 0, e
	}
	if in.where != nil && out.where != nil && in.where.mnt.fs != out.where.mnt.fs {
		return 0, syscall.EXDEV // since Linux 5.19
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

// copyRangeTypes returns the error if the files' types or modes do not allow a copy.
func copyRangeTypes(in, out *Description) syscall.Errno {
	for _, d := range [2]*Description{in, out} {
		switch fileType(d.file) {
		case syscall.S_IFREG:
		case syscall.S_IFDIR:
			return syscall.EISDIR
		default:
			return syscall.EINVAL
		}
	}
	if !in.readable() || !out.writable() || out.flags.Load()&syscall.O_APPEND != 0 {
		return syscall.EBADF
	}
	return 0
}

// fileType returns the S_IFMT bits.
func fileType(f File) uint32 {
	var st syscall.Stat_t
	f.Stat(&st)
	return st.Mode & syscall.S_IFMT
}

// fileSize returns the size of a file in bytes.
func fileSize(f File) int64 {
	var st syscall.Stat_t
	f.Stat(&st)
	return st.Size
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
	if outPos == 1<<63-1 {
		return 0, syscall.EFBIG
	}
	n = min(n, max(fileSize(in.file)-inPos, 0)) // an overlap behind the end does not count
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
		in.notifyAccess()
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
