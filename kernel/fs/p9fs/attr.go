package p9fs

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// getattr fills st with the attributes of a fid.
func (fs *FS) getattr(fid uint32, st *syscall.Stat_t) syscall.Errno {
	const basic = 0x7ff // the fields of stat(2)
	r := fs.c.begin(tGetattr)
	defer r.end()
	r.put(4, uint64(fid))
	r.put(8, basic)
	if e := r.do(); e != 0 {
		return e
	}
	r.get(8) // which fields the server has filled; others are zero
	var s syscall.Stat_t
	s.Dev, s.Ino = fs.dev, r.qid().path
	s.Mode, s.Uid, s.Gid = uint32(r.get(4)), uint32(r.get(4)), uint32(r.get(4))
	s.Nlink, s.Rdev, s.Size = r.get(8), r.get(8), int64(r.get(8))
	s.Blksize, s.Blocks = int64(r.get(8)), int64(r.get(8))
	for _, t := range [...]*syscall.Timespec{&s.Atim, &s.Mtim, &s.Ctim} {
		t.Sec, t.Nsec = int64(r.get(8)), int64(r.get(8))
	}
	if s.Size < 0 {
		r.bad = true
	}
	if e := r.result(); e != 0 {
		return e
	}
	*st = s
	return 0
}

// Bits of Tsetattr.
const (
	setMode  = 1 << 0
	setUID   = 1 << 1
	setGID   = 1 << 2
	setSize  = 1 << 3
	setAtime = 1<<4 | 1<<7 // change it to the given value
	setMtime = 1<<5 | 1<<8
)

// setattr changes attributes of a fid.
func (fs *FS) setattr(fid uint32, c *kernel.AttrChange) syscall.Errno {
	bits := uint64(0)
	for i, b := range [...]uint64{setMode, setUID, setGID, setSize, setAtime, setMtime} {
		if c.Mask&(1<<i) != 0 { // in the order of kernel.AttrMask
			bits |= b
		}
	}
	r := fs.c.begin(tSetattr)
	r.put(4, uint64(fid))
	r.put(4, bits)
	r.put(4, uint64(c.Mode))
	r.put(4, uint64(c.UID))
	r.put(4, uint64(c.GID))
	r.put(8, uint64(c.Size))
	for _, ns := range [...]int64{c.Atime, c.Mtime} {
		sec, nsec := ns/1e9, ns%1e9
		if nsec < 0 {
			sec, nsec = sec-1, nsec+1e9
		}
		r.put(8, uint64(sec))
		r.put(8, uint64(nsec))
	}
	return r.finish()
}
