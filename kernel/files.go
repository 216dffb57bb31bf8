package kernel

import "syscall"

// This file has building blocks for files.

// Always is embedded by files that never block and need no cleanup.
type Always struct{}

// Readiness: always ready to read and write.
func (Always) Readiness() Events { return EventIn | EventOut }

// Queue is nil: always ready.
func (Always) Queue() *WaitQueue { return nil }

// Release does nothing.
func (Always) Release() {}

// OpenDir is the common part of an open directory in all file systems; the embedding type adds
// ReadDir.
type OpenDir struct {
	Always
	Dir Directory
}

// Read is read(2).
func (f *OpenDir) Read([]byte, int64) (int, syscall.Errno) { return 0, syscall.EISDIR }

// Write is write(2): a directory is only open for reading.
func (f *OpenDir) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }

// Stat is fstat(2).
func (f *OpenDir) Stat(st *syscall.Stat_t) syscall.Errno { return f.Dir.Stat(st) }

// Sync is fsync(2).
func (f *OpenDir) Sync(bool) syscall.Errno { return 0 }

// SeekTo sets the position for getdents64(2).
func (f *OpenDir) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	if whence == SeekData || whence == SeekHole {
		return 0, syscall.EINVAL
	}
	return Seek(off, whence, cur, 0)
}

// holder is an Inode whose content stays while it is held, without a name and an open file: by
// descriptors opened with O_PATH, which can be opened by /proc/self/fd.
type holder interface {
	hold()
	letGo()
}

// newPathFile makes the file of a descriptor opened with O_PATH.
func newPathFile(i Inode) *pathFile {
	if h, ok := i.(holder); ok {
		h.hold()
	}
	return &pathFile{inode: i}
}

// pathFile is the file of a descriptor opened with O_PATH.
type pathFile struct {
	Always
	inode Inode
}

func (f *pathFile) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EBADF }
func (f *pathFile) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }
func (f *pathFile) Stat(st *syscall.Stat_t) syscall.Errno    { return f.inode.Stat(st) }

func (f *pathFile) Release() {
	if h, ok := f.inode.(holder); ok {
		h.letGo()
	}
}

// bytesFile is an open read-only file whose content was generated when it was opened, as
// most files in /proc.
type bytesFile struct {
	Always
	inode Inode
	data  []byte
	// write handles writes; nil: EACCES. (Only some settings can be written.)
	write func(p []byte) syscall.Errno
}

func (f *bytesFile) Read(p []byte, off int64) (int, syscall.Errno) {
	if off >= int64(len(f.data)) {
		return 0, 0
	}
	return copy(p, f.data[off:]), 0
}

func (f *bytesFile) Write(p []byte, off int64) (int, syscall.Errno) {
	if f.write == nil {
		return 0, syscall.EINVAL
	}
	q := append([]byte(nil), p...)
	if e := f.write(q); e != 0 {
		return 0, e
	}
	return len(p), 0
}

func (f *bytesFile) Stat(st *syscall.Stat_t) syscall.Errno { return f.inode.Stat(st) }
func (f *bytesFile) Sync(bool) syscall.Errno               { return 0 }

func (f *bytesFile) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	return Seek(off, whence, cur, int64(len(f.data)))
}
