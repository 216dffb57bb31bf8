package p9fs

import (
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// dirData is the most bytes of entries that one message carries.
const dirData = 32 << 10

// dir is an open directory. Positions count entries: the server's own positions, any 64
// bits, would leave none for "." and "..". The kernel calls ReadDir of one description
// at a time.
type dir struct {
	open
	node *node // its fid is acquired, so that names in it are found

	pos    int64  // position of the next entry in buf
	cookie uint64 // the server's position after buf
	buf    []byte // entries that were fetched
}

var (
	_ kernel.File      = (*dir)(nil)
	_ kernel.Seeker    = (*dir)(nil)
	_ kernel.DirReader = (*dir)(nil)
)

// Read is EISDIR (read(2)).
func (d *dir) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EISDIR }
func (d *dir) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }

// Release forgets the directory.
func (d *dir) Release() {
	d.node.releaseFid()
	go d.fs.c.clunk(d.fid)
}

// Stat is fstat(2).
func (d *dir) Stat(st *syscall.Stat_t) syscall.Errno {
	unlinked, e := d.lookup(st)
	if unlinked {
		d.remembered(st, syscall.S_IFDIR)
	}
	return e
}

// SeekTo sets the position for getdents64(2).
func (d *dir) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	if whence == kernel.SeekData || whence == kernel.SeekHole {
		return 0, syscall.EINVAL
	}
	return kernel.Seek(off, whence, cur, 0)
}

// ReadDir lists the directory. At position 0 it reads it anew; to reach another position
// than the current one it counts entries.
func (d *dir) ReadDir(pos int64, emit func(kernel.DirEntry) bool) syscall.Errno {
	if pos <= kernel.FirstEntry || pos < d.pos {
		d.pos, d.cookie, d.buf = kernel.FirstEntry, 0, nil
	}
	for {
		if len(d.buf) == 0 {
			if e := d.fetch(); e != 0 || len(d.buf) == 0 {
				return e
			}
		}
		entry, rest, e := d.decode()
		if e != 0 {
			return e
		}
		if entry.Name != "." && entry.Name != ".." {
			if d.pos >= pos && !emit(entry) {
				return 0 // it is the first entry of the next call
			}
			d.pos++
		}
		d.buf = rest
	}
}

// fetch asks for the entries from cookie on.
func (d *dir) fetch() syscall.Errno {
	r := d.fs.c.begin(tReaddir)
	defer r.end()
	buf := make([]byte, min(dirData, d.fs.c.maxData))
	r.put(4, uint64(d.fid))
	r.put(8, d.cookie)
	r.put(4, uint64(len(buf)))
	if e := r.exchange(nil, buf); e != 0 {
		return e
	}
	n, e := r.data(len(buf))
	d.buf = buf[:n]
	return e
}

// decode returns the first entry of buf and the rest of buf.
func (d *dir) decode() (kernel.DirEntry, []byte, syscall.Errno) {
	f := fields{in: d.buf}
	ino := f.qid().path
	d.cookie = f.get(8)
	kind := uint32(f.get(1)) << 12 // DT_ to S_IF, as in stat.h
	if kind&^syscall.S_IFMT != 0 {
		kind = 0 // DT_UNKNOWN
	}
	name := f.getStr()
	if f.bad || name == "" || strings.ContainsAny(name, "/\x00") {
		return kernel.DirEntry{}, nil, d.fs.c.fail(ErrServer)
	}
	return kernel.DirEntry{Name: name, Ino: ino, Type: kind, Next: d.pos + 1}, f.in, 0
}
