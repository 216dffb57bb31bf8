package kernel

import (
	"syscall"
)

// maxRW is the most that one call transfers (read(2), NOTES: MAX_RW_COUNT).
const maxRW = 0x7ffff000

// getReadable returns the description of descriptor argument i, open for
// reading, with a reference.
func (k *Kernel) getReadable(a *Args, i int) (*Description, syscall.Errno) {
	d, e := k.fds.get(a.Int(i))
	if e != 0 {
		return nil, e
	}
	if !d.readable() {
		d.DecRef()
		return nil, syscall.EBADF
	}
	return d, 0
}

// getWritable is getReadable for writing.
func (k *Kernel) getWritable(a *Args, i int) (*Description, syscall.Errno) {
	d, e := k.fds.get(a.Int(i))
	if e != 0 {
		return nil, e
	}
	if !d.writable() {
		d.DecRef()
		return nil, syscall.EBADF
	}
	return d, 0
}

// get returns the description of descriptor argument i with a reference; EBADF if it was
// opened with O_PATH.
func (k *Kernel) get(a *Args, i int) (*Description, syscall.Errno) {
	d, e := k.fds.get(a.Int(i))
	if e == 0 && d.flags.Load()&oPath != 0 {
		d.DecRef()
		return nil, syscall.EBADF
	}
	return d, e
}

// buffer returns the description of descriptor argument 0, open for reading or writing and
// with a reference, and the memory of arguments 1 and 2.
func (k *Kernel) buffer(a *Args, write bool) (d *Description, p []byte, e syscall.Errno) {
	if write {
		d, e = k.getWritable(a, 0)
	} else {
		d, e = k.getReadable(a, 0)
	}
	if e != 0 {
		return nil, nil, e
	}
	if p, e = bytesAt(a.Pointer(1), uint64(a.N[2])); e != 0 {
		d.DecRef()
		return nil, nil, e
	}
	return d, p, 0
}

// sysRead is read(2).
func sysRead(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, p, e := k.buffer(&a, false)
	if e != 0 {
		return 0, e
	}
	n, e := d.read(p)
	d.DecRef()
	return count(n, e)
}

// sysWrite is write(2).
func sysWrite(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, p, e := k.buffer(&a, true)
	if e != 0 {
		return 0, e
	}
	n, e := d.write(p)
	d.DecRef()
	return count(n, e)
}

// sysPread64 is pread64(2).
func sysPread64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, p, e := k.buffer(&a, false)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	return count(d.readAt(p, int64(a.N[3])))
}

func (d *Description) readAt(p []byte, off int64) (int, syscall.Errno) {
	if !d.positioned {
		return 0, syscall.ESPIPE
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	return d.file.Read(p, off)
}

// sysPwrite64 is pwrite64(2). As on Linux, O_APPEND wins over the offset.
func sysPwrite64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, p, e := k.buffer(&a, true)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	return count(d.writeAt(p, int64(a.N[3])))
}

func (d *Description) writeAt(p []byte, off int64) (int, syscall.Errno) {
	if !d.positioned {
		return 0, syscall.ESPIPE
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	flags := d.flags.Load()
	var n int
	var e syscall.Errno
	if ap, ok := d.file.(Appender); ok && flags&syscall.O_APPEND != 0 {
		n, _, e = ap.Append(p)
	} else {
		n, e = d.file.Write(p, off)
	}
	d.wrote(n, flags)
	return n, e
}

const iovMax = 1024 // IOV_MAX

// iovecs returns argument i as an array of argument i+1 buffers.
func iovecs(a *Args, i int) ([]iovec, syscall.Errno) {
	n := int(a.N[i+1])
	if n < 0 || n > iovMax {
		return nil, syscall.EINVAL
	}
	return userSlice[iovec](a, i, n)
}

// vector applies op to each buffer until one is not filled. op gets the buffer's offset in
// the whole.
func vector(v []iovec, op func(p []byte, at int64) (int, syscall.Errno)) (uintptr, syscall.Errno) {
	total := 0
	for i := range v {
		p, e := bytesAt(v[i].base, v[i].len)
		if e == 0 && len(p) == 0 {
			continue
		}
		n := 0
		if e == 0 {
			n, e = op(p, int64(total))
			total += max(n, 0)
		}
		if e != 0 {
			if total > 0 {
				return uintptr(total), 0
			}
			return 0, e
		}
		if n < len(p) {
			break
		}
	}
	return uintptr(total), 0
}

// sysReadv is readv(2). Only the first buffer may block.
func sysReadv(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getReadable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if s, ok := d.file.(Socket); ok {
		return k.messageIO(d, s, &a, false)
	}
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) {
		if at > 0 && !d.positioned {
			return d.file.Read(p, 0)
		}
		return d.read(p)
	})
}

// sysWritev is writev(2). All buffers form one message to a socket.
func sysWritev(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getWritable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if s, ok := d.file.(Socket); ok {
		return k.messageIO(d, s, &a, true)
	}
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) { return d.write(p) })
}

// messageIO is readv and writev on a socket.
func (k *Kernel) messageIO(d *Description, s Socket, a *Args, send bool) (uintptr, syscall.Errno) {
	v, e := iovecs(a, 1)
	if e != 0 {
		return 0, e
	}
	h := msghdr{iovLen: uint64(len(v))}
	if len(v) > 0 {
		h.iov = &v[0]
	}
	if send {
		return k.sendMessage(d, s, &h, 0)
	}
	return k.receiveMessage(d, s, &h, 0)
}

// sysPreadv is preadv(2) and preadv2(2). Flags have no effect; unknown ones are EOPNOTSUPP.
func sysPreadv(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getReadable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	off := int64(a.N[3])
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) { return d.readAt(p, off+at) })
}

// sysPwritev is pwritev(2).
func sysPwritev(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getWritable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	off := int64(a.N[3])
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) { return d.writeAt(p, off+at) })
}

// rwfFlags are the flags of preadv2(2): RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT and RWF_APPEND.
const rwfFlags = 0x1f

// sysPreadv2 is preadv2(2): offset -1 means the file position.
func sysPreadv2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[5]&^rwfFlags != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if int64(a.N[3]) == -1 {
		return sysReadv(k, a)
	}
	return sysPreadv(k, a)
}

// sysPwritev2 is pwritev2(2).
func sysPwritev2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[5]&^rwfFlags != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if int64(a.N[3]) == -1 {
		return sysWritev(k, a)
	}
	return sysPwritev(k, a)
}

// sysLseek is lseek(2).
func sysLseek(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	s, ok := d.file.(Seeker)
	if !ok {
		return 0, syscall.ESPIPE
	}
	d.posMu.Lock()
	defer d.posMu.Unlock()
	pos, e := s.SeekTo(int64(a.N[1]), a.Int(2), d.pos)
	if e != 0 {
		return 0, e
	}
	d.pos = pos
	return uintptr(pos), 0
}

// These are the values of whence (lseek(2)).
const (
	SeekSet  = 0
	SeekCur  = 1
	SeekEnd  = 2
	SeekData = 3
	SeekHole = 4
)

// Seek computes lseek(2) for a file of size bytes without holes, at position cur.
func Seek(off int64, whence int, cur, size int64) (int64, syscall.Errno) {
	switch whence {
	case SeekSet:
	case SeekCur:
		off += cur
	case SeekEnd:
		off += size
	case SeekData, SeekHole:
		if off < 0 || off >= size {
			return 0, syscall.ENXIO
		}
		if whence == SeekHole {
			off = size
		}
	default:
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	return off, 0
}

// fileOffset reads the 64-bit offset that argument i points to, nil if that is 0.
func fileOffset(a *Args, i int) (*int64, syscall.Errno) {
	if a.N[i] == 0 && a.P[i] == nil {
		return nil, 0
	}
	off, e := user[int64](a, i)
	if e == 0 && *off < 0 {
		return nil, syscall.EINVAL
	}
	return off, e
}
