package p9fs

import (
	"bytes"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
)

// This file has mmap(2). While a file is mapped its pages are in a page cache, which its mappings show,
// and which its reads and writes go through, so that all see each other. A write is on the server when
// it returns; what mappings store gets there soon, and at msync(2), fsync(2) and munmap(2). Of what the
// host changes meanwhile, a mapped file shows that it has grown.

// PageCache is a pagecache.File.
type PageCache interface {
	ReadAt(p []byte, off int64) (int, syscall.Errno)
	WriteThrough(p []byte, lower func() (n int, off int64, e syscall.Errno)) (n int, off int64, e syscall.Errno)
	Truncate(size int64, lower func() syscall.Errno) syscall.Errno
	Extend(size int64, lower func() syscall.Errno) syscall.Errno
	Size() int64
	SyncAll() syscall.Errno
	Release() syscall.Errno
	Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno)
	Retain()
	Unmap()
}

// NewCache makes the cache of a file that is mapped. It is nil in programs that cannot map files.
var NewCache func(b pagecache.Backing, size int64) PageCache

// mapped is a file that is mapped.
type mapped struct {
	fs    *FS
	id    uint64 // qid.path
	cache PageCache

	// FS.mapMu guards the fields below.
	users int           // mappings, and calls that use the cache
	files []*file       // those that are mapped, by which data is read and written
	extra []*file       // more by which it is written
	ended chan struct{} // closed once the last user is gone and everything is written; nil before it goes
}

var (
	_ kernel.Mapper     = (*file)(nil)
	_ pagecache.Backing = (*mapped)(nil)
)

// use returns the cache of a mapped file, nil if it is not mapped. The caller must call leave.
func (fs *FS) use(id uint64) *mapped {
	if fs.mappedFiles.Load() == 0 {
		return nil
	}
	fs.mapMu.Lock()
	defer fs.mapMu.Unlock()
	for m := fs.maps[id]; m != nil; m = fs.maps[id] {
		if m.ended == nil {
			m.users++
			return m
		}
		fs.wait(m)
	}
	return nil
}

// wait waits for the end of m. mapMu is held, and is given up meanwhile.
func (fs *FS) wait(m *mapped) {
	fs.mapMu.Unlock()
	<-m.ended
	fs.mapMu.Lock()
}

// useNew is use for a file that is to be mapped, and has that size.
func (f *file) useNew(size int64) *mapped {
	fs := f.fs
	fs.mapMu.Lock()
	defer fs.mapMu.Unlock()
	m := fs.maps[f.id]
	for m != nil && m.ended != nil {
		fs.wait(m)
		m = fs.maps[f.id]
	}
	if m == nil {
		m = &mapped{fs: fs, id: f.id}
		m.cache = NewCache(m, size)
		if fs.maps == nil {
			fs.maps = map[uint64]*mapped{}
		}
		fs.maps[f.id] = m
		fs.mappedFiles.Add(1)
	}
	m.users++
	m.count(f, 1)
	return m
}

// count counts mappings of f. mapMu is held.
func (m *mapped) count(f *file, by int) {
	if f.maps == 0 {
		m.files = append(m.files, f)
	}
	if f.maps += by; f.maps != 0 {
		return
	}
	for i := range m.files {
		if m.files[i] == f {
			m.files = append(m.files[:i:i], m.files[i+1:]...)
			return
		}
	}
}

// leave ends a use; that of a mapping of f, if f is not nil. The last one writes everything back.
func (m *mapped) leave(f *file) {
	fs := m.fs
	if f != nil && f.writable {
		m.cache.SyncAll() // f may be closed next
	}
	fs.mapMu.Lock()
	defer fs.mapMu.Unlock()
	if m.users--; m.users > 0 {
		if f != nil {
			m.count(f, -1)
		}
		return
	}
	m.ended = make(chan struct{})
	fs.mapMu.Unlock()
	m.cache.Release()
	for _, f := range m.extra {
		f.Release()
	}
	fs.mapMu.Lock()
	if f != nil {
		m.count(f, -1)
	}
	delete(fs.maps, m.id)
	fs.mappedFiles.Add(-1)
	close(m.ended)
}

// Map implements kernel.Mapper.
func (f *file) Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno) {
	if NewCache == nil {
		return 0, syscall.ENODEV
	}
	var st syscall.Stat_t
	if e := f.Stat(&st); e != 0 {
		return 0, e
	}
	m := f.useNew(st.Size)
	m.cache.Extend(st.Size, nothing) // the host may have appended to it since another mapping
	if f.appends && f.writable && m.by(true) == nil {
		if e := m.reopen(f); e != 0 {
			m.leave(f)
			return 0, e
		}
	}
	at, e := m.cache.Map(addr, n, off, prot, flags)
	if e != 0 {
		m.leave(f)
	}
	return at, e
}

// reopen opens the file again to store what mappings of f store: by f itself the server would append it.
func (m *mapped) reopen(f *file) syscall.Errno {
	fid, _, e := m.fs.c.walk(f.fid, "")
	if e != 0 {
		return e
	}
	q, e := m.fs.lopen(fid, syscall.O_RDWR)
	if e == 0 && q.path != m.id {
		e = syscall.ENOENT // the name is another file's by now
	}
	if e != 0 {
		m.fs.c.clunk(fid)
		return e
	}
	m.fs.mapMu.Lock()
	defer m.fs.mapMu.Unlock()
	m.extra = append(m.extra, m.fs.newFile(fid, q, syscall.O_RDWR))
	return 0
}

// own is the cache of a file that has mappings itself.
func (f *file) own() *mapped {
	f.fs.mapMu.Lock()
	defer f.fs.mapMu.Unlock()
	return f.fs.maps[f.id]
}

// Retain implements kernel.Mapper.
func (f *file) Retain() {
	m := f.own()
	m.cache.Retain()
	f.fs.mapMu.Lock()
	m.users++
	m.count(f, 1)
	f.fs.mapMu.Unlock()
}

// Unmap implements kernel.Mapper.
func (f *file) Unmap() {
	m := f.own()
	m.cache.Unmap()
	m.leave(f)
}

// by returns a file by which data can be read, or written.
func (m *mapped) by(write bool) *file {
	m.fs.mapMu.Lock()
	defer m.fs.mapMu.Unlock()
	for _, list := range [][]*file{m.files, m.extra} {
		for _, f := range list {
			if !write || f.writable && !f.appends {
				return f
			}
		}
	}
	return nil
}

// BlockSize implements pagecache.Backing.
func (m *mapped) BlockSize() int { return 1 }

// Reserve implements pagecache.Backing.
func (m *mapped) Reserve(int64, int64) syscall.Errno { return 0 }

// Unreserve implements pagecache.Backing.
func (m *mapped) Unreserve(int64, int64) {}

// ReadData implements pagecache.Backing.
func (m *mapped) ReadData(bufs [][]byte, off int64) syscall.Errno {
	f := m.by(false)
	if f == nil {
		return syscall.EBADF
	}
	for _, b := range bufs {
		n, e := f.readAll(b, off)
		if e != 0 {
			return e
		}
		clear(b[n:])
		off += int64(len(b))
	}
	return 0
}

// WriteData implements pagecache.Backing.
func (m *mapped) WriteData(runs []block.Write, _ int64) (first syscall.Errno) {
	f := m.by(true)
	if f == nil {
		return syscall.EBADF
	}
	for _, r := range runs {
		off := r.Off
		for _, b := range r.Bufs {
			n, e := f.writeAll(b, off)
			if e == 0 && n < len(b) {
				e = syscall.EIO
			}
			if e != 0 && first == 0 {
				first = e
			}
			off += int64(len(b))
		}
	}
	return first
}

// scan is how much NextData reads at a time, bytes.
const scan = 256 << 10

// NextData implements pagecache.Backing: the protocol tells of no holes, and pages of zeroes are as good.
func (m *mapped) NextData(off int64) (start, end int64, e syscall.Errno) {
	f := m.by(false)
	if f == nil {
		return -1, 0, syscall.EBADF
	}
	b := make([]byte, scan)
	for start = off / pagecache.PageSize * pagecache.PageSize; ; start += scan {
		n, e := f.readAll(b, start)
		if e != 0 || n == 0 {
			return -1, 0, e
		}
		first, last := -1, n
		for at := 0; at < n; at += pagecache.PageSize {
			switch zero := allZero(b[at:min(at+pagecache.PageSize, n)]); {
			case !zero && first < 0:
				first = at
			case zero && first >= 0:
				return start + int64(first), start + int64(at), 0
			}
		}
		if first >= 0 {
			return start + int64(first), start + int64(last), 0
		}
		if n < scan {
			return -1, 0, 0
		}
	}
}

func allZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// read is pread(2) of a mapped file.
func (m *mapped) read(f *file, p []byte, off int64) (int, syscall.Errno) {
	if off+int64(len(p)) > m.cache.Size() {
		var st syscall.Stat_t
		if e := f.Stat(&st); e != 0 {
			return 0, e
		}
		m.cache.Extend(st.Size, nothing) // the host may have appended to it
	}
	return m.cache.ReadAt(p, off)
}

func nothing() syscall.Errno { return 0 }

// write is pwrite(2) of a mapped file, or a write at its end if off is negative.
func (m *mapped) write(f *file, p []byte, off int64) (n int, end int64, e syscall.Errno) {
	n, at, e := m.cache.WriteThrough(p, func() (int, int64, syscall.Errno) {
		if off >= 0 {
			n, e := f.writeAll(p, off)
			return n, off, e
		}
		n, end, e := f.appendAll(p)
		if e == 0 && end < int64(n) {
			e = syscall.EIO // the server has cut the file meanwhile, or does not tell the truth
		}
		return n, end - int64(n), e
	})
	return n, at + int64(n), e
}

// resize changes the length of a file, which may be mapped, with change.
func (fs *FS) resize(id uint64, size int64, change func() syscall.Errno) syscall.Errno {
	m := fs.use(id)
	if m == nil {
		return change()
	}
	defer m.leave(nil)
	return m.cache.Truncate(size, change)
}

// syncMapped writes back what mappings have stored.
func (fs *FS) syncMapped() (first syscall.Errno) {
	if fs.mappedFiles.Load() == 0 {
		return 0
	}
	fs.mapMu.Lock()
	var list []*mapped
	for _, m := range fs.maps {
		if m.ended == nil {
			m.users++
			list = append(list, m)
		}
	}
	fs.mapMu.Unlock()
	for _, m := range list {
		if e := m.cache.SyncAll(); e != 0 && first == 0 {
			first = e
		}
		m.leave(nil)
	}
	return first
}
