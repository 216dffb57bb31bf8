package kernel

import (
	"syscall"
)

// tmpFile is a regular file of tmpfs.
type tmpFile struct {
	tmpNode
	data  pages
	opens int
	// generate, if not nil, makes the content anew for each reader, until the file is opened
	// for writing (Kernel.SetFile).
	generate func() []byte
	// standard says that the content is one of defaultFiles and has not been changed.
	standard bool
	freed    bool
	// seal are the seals of a file that was made with sealable.
	seal     uint32
	sealable bool
}

func (f *tmpFile) Stat(st *syscall.Stat_t) syscall.Errno {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.generate != nil {
		f.stat(st, int64(len(f.generate())), 0)
		return 0
	}
	f.stat(st, f.data.size, f.data.blocks())
	return 0
}

// materialize turns a file with generated content into an ordinary one. mu is held.
func (f *tmpFile) materialize() {
	f.standard = false
	if f.generate != nil {
		f.data.base = f.generate()
		f.data.size = int64(len(f.data.base))
		f.generate = nil
	}
}

func (f *tmpFile) SetAttr(c AttrChange) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.sealedAttr(c); e != 0 {
		return e
	}
	if c.Mask&AttrSize != 0 {
		f.materialize()
		if c.Mask == AttrSize && c.Size == f.data.size {
			return 0
		}
		if e := f.data.truncate(c.Size); e != 0 {
			return e
		}
		f.mtime = wallTime()
	}
	f.setAttr(c)
	return 0
}

func (f *tmpFile) Open(flags int) (File, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.freed {
		return nil, syscall.ESTALE
	}
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		f.materialize()
	}
	if f.generate != nil {
		return &bytesFile{inode: f, data: f.generate()}, 0
	}
	f.opens++
	return &tmpOpen{f: f}, 0
}

// freeIfUnused returns the pages once no name and no descriptor is left.
func (f *tmpFile) freeIfUnused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nlink > 0 || f.opens > 0 || f.freed {
		return
	}
	f.freed = true
	f.fs.used.Add(-f.data.count)
	f.fs.nodes.Add(-1)
	f.data.freeArena()
	f.data = pages{fs: f.fs}
}

// tmpOpen is an open regular file.
type tmpOpen struct {
	Always
	f *tmpFile
}

func (o *tmpOpen) Read(p []byte, off int64) (int, syscall.Errno) {
	f := o.f
	f.mu.RLock()
	n := f.data.readAt(p, off)
	f.mu.RUnlock()
	f.accessed()
	return n, 0
}

func (o *tmpOpen) Write(p []byte, off int64) (int, syscall.Errno) {
	o.f.mu.Lock()
	defer o.f.mu.Unlock()
	return o.f.writeLocked(p, off)
}

func (f *tmpFile) writeLocked(p []byte, off int64) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	if f.sealedFor(off + int64(len(p))) {
		// F_SEAL_GROW is looked at for each page: those that end in the file are written.
		whole := f.data.size &^ (pageSize - 1)
		if f.sealedFor(off) || off >= whole {
			return 0, syscall.EPERM
		}
		p = p[:whole-off]
	}
	n, e := f.data.writeAt(p, off)
	if n > 0 {
		f.mtime = wallTime()
		f.ctime = f.mtime
	}
	return n, e
}

func (o *tmpOpen) Append(p []byte) (int, int64, syscall.Errno) {
	f := o.f
	f.mu.Lock()
	defer f.mu.Unlock()
	n, e := f.writeLocked(p, f.data.size)
	return n, f.data.size, e
}

func (o *tmpOpen) Stat(st *syscall.Stat_t) syscall.Errno { return o.f.Stat(st) }
func (o *tmpOpen) Sync(bool) syscall.Errno               { return 0 }

func (o *tmpOpen) Release() { o.f.letGo() }

// hold keeps the content, like an open file.
func (f *tmpFile) hold() {
	f.mu.Lock()
	f.opens++
	f.mu.Unlock()
}

// letGo ends what hold or Open has begun.
func (f *tmpFile) letGo() {
	f.mu.Lock()
	f.opens--
	f.mu.Unlock()
	f.freeIfUnused()
}

func (o *tmpOpen) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	f := o.f
	f.mu.RLock()
	defer f.mu.RUnlock()
	if whence == SeekData || whence == SeekHole {
		if off < 0 || off >= f.data.size {
			return 0, syscall.ENXIO
		}
		return f.data.seek(off, whence == SeekData)
	}
	return Seek(off, whence, cur, f.data.size)
}

func (o *tmpOpen) Truncate(size int64) syscall.Errno {
	return o.f.SetAttr(AttrChange{Mask: AttrSize | AttrResized, Size: size})
}

// Modes of fallocate(2).
const (
	fallocKeepSize  = 0x01
	fallocPunchHole = 0x02
	fallocZeroRange = 0x10
)

// Allocate is fallocate(2). It checks that there is space, but does not reserve it.
func (o *tmpOpen) Allocate(mode int, off, n int64) syscall.Errno {
	if off < 0 || n <= 0 {
		return syscall.EINVAL
	}
	if off > maxFileSize-n {
		return syscall.EFBIG
	}
	f := o.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if mode&fallocPunchHole != 0 && f.seal&(sealWrite|sealFutureWrite) != 0 || mode&fallocPunchHole == 0 && f.seal&sealGrow != 0 && off+n > f.data.size {
		return syscall.EPERM
	}
	switch mode {
	case 0, fallocKeepSize:
		if grow := (off + n - max(off, f.data.size)) / pageSize; grow > f.fs.limit-f.fs.used.Load() {
			return syscall.ENOSPC
		}
	case fallocPunchHole | fallocKeepSize, fallocZeroRange | fallocKeepSize, fallocZeroRange:
		if e := f.data.zero(off, n); e != 0 {
			return e
		}
	default:
		return syscall.EOPNOTSUPP
	}
	if mode&fallocKeepSize == 0 {
		f.data.size = max(f.data.size, off+n)
	}
	f.ctime = wallTime()
	f.mtime = f.ctime
	return 0
}
