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
	return k.io.reads.done(count(n, e))
}

// sysWrite is write(2).
func sysWrite(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, p, e := k.buffer(&a, true)
	if e != 0 {
		return 0, e
	}
	n, e := d.write(p)
	d.DecRef()
	return k.io.writes.done(count(n, e))
}

// getPositioned returns the description of descriptor argument 0, with a reference, for a call
// whose argument 3 is an offset. As on Linux, a negative offset is looked at first, and the access
// mode last.
func (k *Kernel) getPositioned(a *Args, write bool) (*Description, syscall.Errno) {
	if int64(a.N[3]) < 0 {
		return nil, syscall.EINVAL
	}
	d, e := k.get(a, 0)
	switch {
	case e != 0:
		return nil, e
	case !d.positioned:
		e = syscall.ESPIPE
	case write && !d.writable(), !write && !d.readable():
		e = syscall.EBADF
	default:
		return d, 0
	}
	d.DecRef()
	return nil, e
}

// sysPread64 is pread64(2).
func sysPread64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getPositioned(&a, false)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	p, e := bytesAt(a.Pointer(1), uint64(a.N[2]))
	if e != 0 {
		return 0, e
	}
	return k.io.reads.done(count(d.readAt(p, int64(a.N[3]))))
}

func (d *Description) readAt(p []byte, off int64) (int, syscall.Errno) {
	if off+int64(len(p)) < 0 { // beyond the largest offset
		return 0, syscall.EINVAL
	}
	n, e := d.file.Read(p, off)
	if n > 0 {
		d.notifyAccess()
	}
	return n, e
}

// sysPwrite64 is pwrite64(2). As on Linux, O_APPEND wins over the offset.
func sysPwrite64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getPositioned(&a, true)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	p, e := bytesAt(a.Pointer(1), uint64(a.N[2]))
	if e != 0 {
		return 0, e
	}
	return k.io.writes.done(count(d.writeAt(p, int64(a.N[3]), d.flags.Load())))
}

// writeAt is pwrite(2); of flags, O_APPEND, O_DSYNC and O_SYNC count.
func (d *Description) writeAt(p []byte, off int64, flags int32) (int, syscall.Errno) {
	if off+int64(len(p)) < 0 {
		return 0, syscall.EINVAL
	}
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
func sysReadv(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.io.reads.done(k.readv(a)) }

func (k *Kernel) readv(a Args) (uintptr, syscall.Errno) {
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
	if d.positioned && totalSize(v) == 0 {
		d.notifyAccess()
	}
	if d.hasRecords() && len(v) > 1 {
		return d.readScattered(v)
	}
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) {
		if at > 0 && !d.positioned {
			return d.file.Read(p, 0)
		}
		return d.read(p)
	})
}

// readScattered is readv(2) of a file that gives a record at a time, which the buffers take
// together.
func (d *Description) readScattered(v []iovec) (uintptr, syscall.Errno) {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	size := min(totalSize(v), uint64(len(buf)))
	if size == 0 {
		return 0, 0
	}
	n, e := d.read(buf[:size])
	if e != 0 {
		return 0, e
	}
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) { return copy(p, buf[at:n]), 0 })
}

// sysWritev is writev(2). All buffers form one message to a socket.
func sysWritev(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.io.writes.done(k.writev(a, 0, 0))
}

// writev is writev(2) with some O_ flags more and some less than the description has.
func (k *Kernel) writev(a Args, more, less int32) (uintptr, syscall.Errno) {
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
	if d.takesWhole() && len(v) > 1 {
		return d.writeGathered(v)
	}
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) {
		if d.positioned {
			return d.writePositioned(p, d.flags.Load()&^less|more)
		}
		return d.write(p)
	})
}

// hasRecords reports whether each read gives a record.
func (d *Description) hasRecords() bool {
	switch d.file.(type) {
	case unmoved, Records:
		return true
	}
	return false
}

// takesWhole reports whether the buffers of a write belong together.
func (d *Description) takesWhole() bool {
	switch d.file.(type) {
	case *pipeEnd, Records:
		return true
	}
	return false
}

// writeGathered is writev(2) to a pipe or a file of records, which takes all buffers like one: up to
// pipeAtomic bytes are not mixed with those of other writers of a pipe (pipe(7)).
func (d *Description) writeGathered(v []iovec) (uintptr, syscall.Errno) {
	const most = 1 << 20 // at a time, bytes: as much as a pipe can have
	buf := make([]byte, min(totalSize(v), most))
	total := 0
	for {
		n, e := copyFrom(buf, v, uint64(total))
		if e != 0 || n == 0 {
			return uintptr(total), errnoUnless(int64(total), e)
		}
		m, e := d.write(buf[:n])
		total += m
		if e != 0 || m < n {
			return uintptr(total), errnoUnless(int64(total), e)
		}
	}
}

// copyFrom copies bytes of the buffers v, from position skip of the whole, to p.
func copyFrom(p []byte, v []iovec, skip uint64) (n int, e syscall.Errno) {
	for i := range v {
		if skip >= v[i].len {
			skip -= v[i].len
			continue
		}
		b, e := bytesAt(v[i].base, v[i].len)
		if e != 0 {
			return n, errnoUnless(int64(n), e)
		}
		n += copy(p[n:], b[skip:])
		skip = 0
	}
	return n, 0
}

// messageIO is readv and writev on a socket.
func (k *Kernel) messageIO(d *Description, s Socket, a *Args, send bool) (uintptr, syscall.Errno) {
	v, e := iovecs(a, 1)
	if e != 0 {
		return 0, e
	}
	if totalSize(v) == 0 { // whatever the socket's state
		return 0, 0
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

// sysPreadv is preadv(2).
func sysPreadv(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.io.reads.done(k.preadv(a)) }

func (k *Kernel) preadv(a Args) (uintptr, syscall.Errno) {
	d, e := k.getPositioned(&a, false)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	if totalSize(v) == 0 { // counts, unlike pread of nothing
		d.notifyAccess()
		return 0, 0
	}
	off := int64(a.N[3])
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) { return d.readAt(p, off+at) })
}

// sysPwritev is pwritev(2).
func sysPwritev(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.io.writes.done(k.pwritev(a, 0, 0))
}

// pwritev is pwritev(2) with some O_ flags more and some less than the description has.
func (k *Kernel) pwritev(a Args, more, less int32) (uintptr, syscall.Errno) {
	d, e := k.getPositioned(&a, true)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	v, e := iovecs(&a, 1)
	if e != 0 {
		return 0, e
	}
	off := int64(a.N[3])
	return vector(v, func(p []byte, at int64) (int, syscall.Errno) {
		return d.writeAt(p, off+at, d.flags.Load()&^less|more)
	})
}

// These are the flags of preadv2(2). RWF_NOWAIT is EOPNOTSUPP, as for files that cannot say
// whether they would wait.
const (
	rwfHighPriority = 0x01 // without an effect unless the file is polled
	rwfDataSync     = 0x02
	rwfSync         = 0x04
	rwfAppend       = 0x10
	rwfNoAppend     = 0x20
)

// checkFlags checks the flags of preadv2(2) and pwritev2(2). They are looked at after everything
// else, and not at all if there is nothing to transfer.
func (k *Kernel) checkFlags(a *Args, write bool) (empty bool, e syscall.Errno) {
	var d *Description
	switch {
	case int64(a.N[3]) != -1:
		d, e = k.getPositioned(a, write)
	case write:
		d, e = k.getWritable(a, 0)
	default:
		d, e = k.getReadable(a, 0)
	}
	if e != 0 {
		return false, e
	}
	defer d.DecRef()
	v, e := iovecs(a, 1)
	if e != 0 || totalSize(v) == 0 {
		if e == 0 && !write && d.positioned {
			d.notifyAccess()
		}
		return true, e
	}
	return false, rwfError(a.N[5])
}

// totalSize returns the size of some buffers in bytes.
func totalSize(v []iovec) (n uint64) {
	for i := range v {
		n += v[i].len
	}
	return n
}

// rwfError returns the error of flags that are not served.
func rwfError(flags uintptr) syscall.Errno {
	if flags&^(rwfHighPriority|rwfDataSync|rwfSync|rwfAppend|rwfNoAppend) != 0 {
		return syscall.EOPNOTSUPP
	}
	if flags&(rwfAppend|rwfNoAppend) == rwfAppend|rwfNoAppend {
		return syscall.EINVAL
	}
	return 0
}

// sysPreadv2 is preadv2(2): offset -1 means the file position.
func sysPreadv2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if empty, e := k.checkFlags(&a, false); empty || e != 0 {
		return 0, e
	}
	if int64(a.N[3]) == -1 {
		return sysReadv(k, a)
	}
	return sysPreadv(k, a)
}

// sysPwritev2 is pwritev2(2).
func sysPwritev2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if empty, e := k.checkFlags(&a, true); empty || e != 0 {
		return 0, e
	}
	var more, less int32
	for _, f := range [...]struct {
		flag       uintptr
		more, less int32
	}{
		{rwfDataSync, syscall.O_DSYNC, 0}, {rwfSync, syscall.O_SYNC, 0}, {rwfAppend, syscall.O_APPEND, 0}, {rwfNoAppend, 0, syscall.O_APPEND},
	} {
		if a.N[5]&f.flag != 0 {
			more |= f.more
			less |= f.less
		}
	}
	if int64(a.N[3]) == -1 {
		return k.io.writes.done(k.writev(a, more, less))
	}
	return k.io.writes.done(k.pwritev(a, more, less))
}

// unmoved is a file whose position is always 0, without an error (noop_llseek in fs/read_write.c).
type unmoved interface{ ignoresSeek() }

// sysLseek is lseek(2).
func sysLseek(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if uint(a.Int(2)) > SeekHole {
		return 0, syscall.EINVAL
	}
	s, ok := d.file.(Seeker)
	if !ok {
		switch f := d.file.(type) {
		case interface{ ignoresSeek() }:
			return 0, 0
		case *kmsgFile:
			if a.N[1] != 0 {
				return 0, syscall.ESPIPE
			}
			return 0, f.seek(a.Int(2))
		}
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
