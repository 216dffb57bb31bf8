package p9fs

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/bounce"
)

// open is the part that open files and directories share.
type open struct {
	kernel.Always
	fs  *FS
	fid uint32
	id  uint64 // qid.path of the opened file

	mu   sync.Mutex
	last syscall.Stat_t // the attributes at the last successful getattr
}

// lookup asks for the attributes. unlinked means that the file has lost its name, or that
// the name is now another file's and the server answers for the name, as QEMU did before
// 2024, when it started to ask the open file.
func (o *open) lookup(st *syscall.Stat_t) (unlinked bool, e syscall.Errno) {
	var s syscall.Stat_t
	e = o.fs.getattr(o.fid, &s)
	if e == syscall.ENOENT || e == 0 && s.Ino != o.id {
		return true, 0
	}
	if e == 0 {
		o.mu.Lock()
		o.last = s
		o.mu.Unlock()
		*st = s
	}
	return false, e
}

// remembered fills st for a file without a name, except for its size.
func (o *open) remembered(st *syscall.Stat_t, kind uint32) {
	o.mu.Lock()
	*st = o.last
	o.mu.Unlock()
	st.Dev, st.Ino, st.Nlink = o.fs.dev, o.id, 0
	if st.Mode == 0 {
		st.Mode = kind | 0o600
	}
}

// SetAttr changes attributes of the open file. QEMU changes the file that the fid's name
// now leads to, even if the fid is open. So a copy of the fid, which stands for the name
// alone, must show the same file; otherwise the result is ENOENT, as for a file without a
// name. (A server that does not copy open fids identifies them by their files.)
func (o *open) SetAttr(c kernel.AttrChange) syscall.Errno {
	if e := o.fs.changeable(); e != 0 {
		return e
	}
	fid, _, e := o.fs.c.walk(o.fid, "")
	if e != 0 {
		return o.fs.setattr(o.fid, &c)
	}
	var st syscall.Stat_t
	if e = o.fs.getattr(fid, &st); e == 0 && st.Ino != o.id {
		e = syscall.ENOENT
	}
	if e == 0 {
		e = o.fs.setattr(fid, &c)
	}
	go o.fs.c.clunk(fid)
	return e
}

// Sync is fsync(2) on the host.
func (o *open) Sync(dataOnly bool) syscall.Errno {
	r := o.fs.c.begin(tFsync)
	r.put(4, uint64(o.fid))
	v := uint64(0)
	if dataOnly {
		v = 1
	}
	r.put(4, v)
	return r.finish()
}

// file is an open regular file.
type file struct {
	open
	appends  bool // the server writes at the end, whatever the offset
	writable bool
	maps     int // mappings; guarded by FS.mapMu
}

var (
	_ kernel.File     = (*file)(nil)
	_ kernel.Seeker   = (*file)(nil)
	_ kernel.Appender = (*file)(nil)
	_ kernel.Resizer  = (*file)(nil)
	_ kernel.Syncer   = (*file)(nil)
)

// newFile makes the file of a fid that was opened with flags.
func (fs *FS) newFile(fid uint32, q qid, flags int) *file {
	return &file{
		open:     open{fs: fs, fid: fid, id: q.path},
		appends:  flags&syscall.O_APPEND != 0,
		writable: flags&syscall.O_ACCMODE != syscall.O_RDONLY,
	}
}

// Release closes the file. After a write it waits until the host has closed it too, so that
// the file can be executed there, for example.
func (f *file) Release() {
	if f.writable {
		f.fs.c.clunk(f.fid)
	} else {
		go f.fs.c.clunk(f.fid)
	}
}

// Stat is fstat(2).
func (f *file) Stat(st *syscall.Stat_t) syscall.Errno {
	unlinked, e := f.lookup(st)
	if !unlinked {
		return e
	}
	f.remembered(st, syscall.S_IFREG)
	st.Size, e = f.grown(st.Size)
	st.Blocks = (st.Size + 511) / 512
	return e
}

// grown returns the size of a file without a name, which was size at the last look. It can
// have grown since then, but not become shorter. For a file that cannot be read it returns
// size.
func (f *file) grown(size int64) (int64, syscall.Errno) {
	b := f.fs.c.bounces.Get()
	defer f.fs.c.bounces.Put(b)
	for {
		n, e := f.readAll(b, size)
		if e == syscall.EBADF {
			return size, 0
		}
		if e != 0 || n == 0 {
			return size, e
		}
		size += int64(n)
	}
}

// Read is pread(2).
func (f *file) Read(p []byte, off int64) (int, syscall.Errno) {
	if m := f.fs.use(f.id); m != nil {
		defer m.leave(nil)
		return m.read(f, p, off)
	}
	return f.readAll(p, off)
}

// readAll reads from the server.
func (f *file) readAll(p []byte, off int64) (int, syscall.Errno) {
	for done := 0; ; {
		q := p[done:min(len(p), done+f.fs.c.maxData)]
		n, e := f.read(&q, off+int64(done))
		if e != 0 && done == 0 {
			return 0, e
		}
		done += n
		if e != 0 || n < len(q) || done == len(p) {
			return done, 0
		}
	}
}

// read makes one request that reads to *p, which it may shorten.
func (f *file) read(p *[]byte, off int64) (int, syscall.Errno) {
	c := &f.fs.c
	r := c.begin(tRead)
	defer r.end()
	q := *p
	var into []byte
	switch {
	case len(q) <= smallData: // through the request's own memory
	case c.bounces.Needed(q):
		*p = q[:min(len(q), bounce.Size)]
		q = *p
		b := c.bounces.Get()
		defer c.bounces.Put(b)
		into = b[:len(q)]
	default:
		into = q
	}
	r.put(4, uint64(f.fid))
	r.put(8, uint64(off))
	r.put(4, uint64(len(q)))
	if e := r.exchange(nil, into); e != 0 {
		return 0, e
	}
	n, e := r.data(len(q))
	switch {
	case e != 0:
		return 0, e
	case into == nil:
		copy(q, r.bytes(n))
	case &into[0] != &q[0]:
		copy(q, into[:n])
	}
	return n, 0
}

// Write is pwrite(2).
func (f *file) Write(p []byte, off int64) (int, syscall.Errno) {
	if m := f.fs.use(f.id); m != nil {
		defer m.leave(nil)
		n, _, e := m.write(f, p, off)
		return n, e
	}
	return f.writeAll(p, off)
}

// writeAll writes to the server.
func (f *file) writeAll(p []byte, off int64) (int, syscall.Errno) {
	for done := 0; ; {
		q := p[done:min(len(p), done+f.fs.c.maxData)]
		n, e := f.write(&q, off+int64(done))
		if e != 0 && done == 0 {
			return 0, e
		}
		done += n
		if e != 0 || n < len(q) || done == len(p) {
			return done, 0
		}
	}
}

// write makes one request with the data of *p, which it may shorten.
func (f *file) write(p *[]byte, off int64) (int, syscall.Errno) {
	c := &f.fs.c
	r := c.begin(tWrite)
	defer r.end()
	q := *p
	indirect := len(q) > smallData && c.bounces.Needed(q)
	if indirect {
		*p = q[:min(len(q), bounce.Size)]
		q = *p
	}
	r.put(4, uint64(f.fid))
	r.put(8, uint64(off))
	r.put(4, uint64(len(q)))
	var from []byte
	switch {
	case len(q) <= smallData:
		r.out = append(r.out, q...)
	case indirect:
		b := c.bounces.Get()
		defer c.bounces.Put(b)
		from = b[:copy(b, q)]
	default:
		from = q
	}
	if e := r.exchange(from, nil); e != 0 {
		return 0, e
	}
	n := int(r.get(4))
	if n > len(q) {
		r.bad = true
	}
	return n, r.result()
}

// Append writes at the end. With O_APPEND, the host appends each message atomically.
func (f *file) Append(p []byte) (n int, end int64, e syscall.Errno) {
	if m := f.fs.use(f.id); m != nil {
		defer m.leave(nil)
		return m.write(f, p, -1)
	}
	return f.appendAll(p)
}

// appendAll appends on the server.
func (f *file) appendAll(p []byte) (n int, end int64, e syscall.Errno) {
	var st syscall.Stat_t
	if !f.appends {
		if e := f.Stat(&st); e != 0 {
			return 0, 0, e
		}
		n, e := f.writeAll(p, st.Size)
		return n, st.Size + int64(n), e
	}
	if n, e = f.writeAll(p, 0); e != 0 {
		return n, 0, e
	}
	e = f.Stat(&st)
	return n, st.Size, e
}

// SeekTo is lseek(2). A file has no holes.
func (f *file) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	var st syscall.Stat_t
	if whence != kernel.SeekSet && whence != kernel.SeekCur {
		if e := f.Stat(&st); e != 0 {
			return 0, e
		}
	}
	return kernel.Seek(off, whence, cur, st.Size)
}

// SetAttr changes attributes of the open file.
func (f *file) SetAttr(c kernel.AttrChange) syscall.Errno {
	change := func() syscall.Errno { return f.open.SetAttr(c) }
	if c.Mask&kernel.AttrSize != 0 {
		return f.fs.resize(f.id, c.Size, change)
	}
	return change()
}

// Sync is fsync(2) on the host.
func (f *file) Sync(dataOnly bool) syscall.Errno {
	if m := f.fs.use(f.id); m != nil {
		e := m.cache.SyncAll()
		m.leave(nil)
		if e != 0 {
			return e
		}
	}
	return f.open.Sync(dataOnly)
}

// Truncate is ftruncate(2).
func (f *file) Truncate(size int64) syscall.Errno {
	return f.SetAttr(kernel.AttrChange{Mask: kernel.AttrSize, Size: size})
}

// Allocate is fallocate(2), which the protocol does not have.
func (f *file) Allocate(int, int64, int64) syscall.Errno { return syscall.EOPNOTSUPP }
