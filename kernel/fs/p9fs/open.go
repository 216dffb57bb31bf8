package p9fs

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// serverFlags are the flags of open(2) that are passed to the server, with the same numbers.
// O_TRUNC is among them for files that Create makes.
const serverFlags = syscall.O_ACCMODE | syscall.O_APPEND | syscall.O_SYNC | syscall.O_TRUNC

// Open opens an existing file or directory.
func (n *node) Open(flags int) (kernel.File, syscall.Errno) {
	if n.fs.readOnly && flags&(syscall.O_ACCMODE|syscall.O_TRUNC) != 0 {
		return nil, syscall.EROFS
	}
	if n.kind == syscall.S_IFDIR {
		return n.openDir()
	}
	fid, e := n.take()
	if e != 0 {
		return nil, e
	}
	q, e := n.fs.lopen(fid, flags&serverFlags)
	if e != 0 {
		n.fs.c.clunk(fid)
		return nil, e
	}
	f := n.fs.newFile(fid, q, flags)
	if flags&syscall.O_TRUNC != 0 { // done; of a mapped file the pages go, too
		n.fs.resize(q.path, 0, nothing)
	}
	return f, 0
}

// lopen opens a fid.
func (fs *FS) lopen(fid uint32, flags int) (qid, syscall.Errno) {
	r := fs.c.begin(tLopen)
	defer r.end()
	r.put(4, uint64(fid))
	r.put(4, uint64(flags))
	if e := r.do(); e != 0 {
		return qid{}, e
	}
	q := r.qid()
	return q, r.result()
}

// OpenCreate makes a regular file and opens it, even if its mode forbids that. With O_EXCL
// the file is new on the host, too.
func (n *node) OpenCreate(name string, flags int, mode uint32) (kernel.Inode, kernel.File, syscall.Errno) {
	if e := n.fs.changeable(); e != 0 {
		return nil, nil, e
	}
	dir, e := n.acquireFid()
	if e != 0 {
		return nil, nil, e
	}
	defer n.releaseFid()
	fid, _, e := n.fs.c.walk(dir, "")
	if e != 0 {
		return nil, nil, e
	}
	q, e := n.fs.lcreate(fid, name, flags, mode)
	if e != 0 {
		n.fs.c.clunk(fid)
		return nil, nil, e
	}
	return n.child(name, syscall.S_IFREG, noFid), n.fs.newFile(fid, q, flags), 0
}

// lcreate turns the fid of a directory into that of a new file in the directory.
func (fs *FS) lcreate(fid uint32, name string, flags int, mode uint32) (qid, syscall.Errno) {
	r := fs.c.begin(tLcreate)
	defer r.end()
	r.put(4, uint64(fid))
	r.str(name)
	r.put(4, uint64(flags&(serverFlags|syscall.O_EXCL)|syscall.O_CREAT))
	r.put(4, uint64(mode&0o7777))
	r.put(4, 0) // group
	if e := r.do(); e != 0 {
		return qid{}, e
	}
	q := r.qid()
	return q, r.result()
}

// openDir opens a directory. Its own fid stays, for lookups in it.
func (n *node) openDir() (kernel.File, syscall.Errno) {
	own, e := n.acquireFid()
	if e != 0 {
		return nil, e
	}
	fid, _, e := n.fs.c.walk(own, "")
	if e != 0 {
		n.releaseFid()
		return nil, e
	}
	q, e := n.fs.lopen(fid, syscall.O_RDONLY)
	if e != 0 {
		n.fs.c.clunk(fid)
		n.releaseFid()
		return nil, e
	}
	return &dir{open: open{fs: n.fs, fid: fid, id: q.path}, node: n}, 0
}
