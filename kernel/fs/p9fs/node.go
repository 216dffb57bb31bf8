package p9fs

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// node is a name in the tree, as an inode of the kernel. The kernel makes one at each
// lookup of a name and does not say when it drops it.
//
// To work on a file the server wants a fid, which stands for the file from a walk to a
// clunk. A node gets one when it is found. Only the idleFids nodes that were found last keep
// theirs; an older one that is still in use, such as the working directory, walks again
// when it needs a fid. Directories keep theirs while they are open, so that names in them
// are found even after a rename.
type node struct {
	fs     *FS
	parent *node // nil for the root
	name   string
	kind   uint32 // S_IFMT bits

	// FS.mu guards the fields below.
	fid   uint32
	users int // calls and open directories that need fid
}

// idleFids is how many nodes keep an unused fid.
const idleFids = 32

var (
	_ kernel.Directory = (*node)(nil)
	_ kernel.Symlink   = (*node)(nil)
)

// kindOf translates the type of a qid. A qid does not distinguish special files, which
// cannot be opened through the protocol, from regular ones; Stat does.
func kindOf(q qid) uint32 {
	switch {
	case q.kind&qidDir != 0:
		return syscall.S_IFDIR
	case q.kind&qidSymlink != 0:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

// Type returns the S_IFMT bits.
func (n *node) Type() uint32 { return n.kind }

// acquireFid returns the fid of n, which stays valid until releaseFid.
func (n *node) acquireFid() (uint32, syscall.Errno) {
	n.fs.mu.Lock()
	if n.fid != noFid {
		n.users++
		n.fs.mu.Unlock()
		return n.fid, 0
	}
	n.fs.mu.Unlock()
	fid, _, e := n.walk()
	if e != 0 {
		return noFid, e
	}
	n.fs.mu.Lock()
	if n.fid == noFid {
		n.fid, fid = fid, noFid
		n.fs.remember(n)
	}
	n.users++
	held := n.fid
	n.fs.mu.Unlock()
	if fid != noFid { // another goroutine was faster
		n.fs.c.clunk(fid)
	}
	return held, 0
}

func (n *node) releaseFid() {
	n.fs.mu.Lock()
	n.users--
	n.fs.mu.Unlock()
}

// walk makes a fresh fid for n.
func (n *node) walk() (uint32, qid, syscall.Errno) {
	if n.parent == nil {
		return n.fs.c.walk(rootFid, "")
	}
	dir, e := n.parent.acquireFid()
	if e != 0 {
		return noFid, qid{}, e
	}
	defer n.parent.releaseFid()
	return n.fs.c.walk(dir, n.name)
}

// take returns a fid that belongs to the caller: that of n if it has no users, otherwise a
// new one.
func (n *node) take() (uint32, syscall.Errno) {
	n.fs.mu.Lock()
	fid := n.fid
	if fid != noFid && n.users == 0 {
		n.fid = noFid
		n.fs.mu.Unlock()
		return fid, 0
	}
	n.fs.mu.Unlock()
	fid, _, e := n.walk()
	return fid, e
}

// remember records that n has a fid, and takes the fid of the node that was recorded
// longest ago. mu is held.
func (fs *FS) remember(n *node) {
	if len(fs.idle) < idleFids {
		fs.idle = append(fs.idle, n)
		return
	}
	for range len(fs.idle) {
		i := fs.next % len(fs.idle)
		fs.next = i + 1
		old := fs.idle[i]
		if old.users > 0 {
			continue
		}
		fs.idle[i] = n
		if old.fid != noFid {
			go fs.c.clunk(old.fid) // in the background
			old.fid = noFid
		}
		return
	}
	fs.idle = append(fs.idle, n) // all are in use
}

// child makes the node of a name in n. fid is the fid that the server has given for it, or
// noFid.
func (n *node) child(name string, kind, fid uint32) *node {
	c := &node{fs: n.fs, parent: n, name: name, kind: kind, fid: fid}
	if fid != noFid {
		n.fs.mu.Lock()
		n.fs.remember(c)
		n.fs.mu.Unlock()
	}
	return c
}

// Stat asks the server.
func (n *node) Stat(st *syscall.Stat_t) syscall.Errno {
	fid, e := n.acquireFid()
	if e != 0 {
		return e
	}
	defer n.releaseFid()
	return n.fs.getattr(fid, st)
}

// SetAttr changes attributes.
func (n *node) SetAttr(c kernel.AttrChange) syscall.Errno {
	if e := n.fs.changeable(); e != 0 {
		return e
	}
	fid, e := n.acquireFid()
	if e != 0 {
		return e
	}
	defer n.releaseFid()
	change := func() syscall.Errno { return n.fs.setattr(fid, &c) }
	if c.Mask&kernel.AttrSize != 0 && n.fs.mappedFiles.Load() != 0 {
		var st syscall.Stat_t
		if e := n.fs.getattr(fid, &st); e != 0 {
			return e
		}
		return n.fs.resize(st.Ino, c.Size, change)
	}
	return change()
}

// Readlink returns the target of a symbolic link.
func (n *node) Readlink() (string, syscall.Errno) {
	fid, e := n.acquireFid()
	if e != 0 {
		return "", e
	}
	defer n.releaseFid()
	r := n.fs.c.begin(tReadlink)
	defer r.end()
	r.put(4, uint64(fid))
	if e := r.do(); e != 0 {
		return "", e
	}
	return r.getStr(), r.result()
}

// Lookup finds a name.
func (n *node) Lookup(name string) (kernel.Inode, syscall.Errno) {
	dir, e := n.acquireFid()
	if e != 0 {
		return nil, e
	}
	defer n.releaseFid()
	fid, q, e := n.fs.c.walk(dir, name)
	if e != 0 {
		return nil, e
	}
	return n.child(name, kindOf(q), fid), 0
}

// in makes a request that names something in the directory n.
func (n *node) in(kind byte, name string, also func(*request)) syscall.Errno {
	if e := n.fs.changeable(); e != 0 {
		return e
	}
	dir, e := n.acquireFid()
	if e != 0 {
		return e
	}
	defer n.releaseFid()
	r := n.fs.c.begin(kind)
	r.put(4, uint64(dir))
	if kind != tLink {
		r.str(name)
	}
	also(r)
	return r.finish()
}

// Create makes a file of any type but a symbolic link.
func (n *node) Create(name string, mode uint32, dev uint64) (kernel.Inode, syscall.Errno) {
	kind := mode & syscall.S_IFMT
	var e syscall.Errno
	if kind == syscall.S_IFDIR {
		e = n.in(tMkdir, name, func(r *request) {
			r.put(4, uint64(mode))
			r.put(4, 0) // group
		})
	} else {
		e = n.in(tMknod, name, func(r *request) {
			r.put(4, uint64(mode))
			r.put(4, dev>>8&0xfff|dev>>32&^0xfff)     // major (makedev(3))
			r.put(4, dev&0xff|dev>>12&0xffffff&^0xff) // minor
			r.put(4, 0)
		})
	}
	if e != 0 {
		return nil, e
	}
	return n.child(name, kind, noFid), 0
}

// Symlink makes a symbolic link.
func (n *node) Symlink(name, target string) (kernel.Inode, syscall.Errno) {
	e := n.in(tSymlink, name, func(r *request) {
		r.str(target)
		r.put(4, 0)
	})
	if e != 0 {
		return nil, e
	}
	return n.child(name, syscall.S_IFLNK, noFid), 0
}

// Link makes another name of target.
func (n *node) Link(name string, target kernel.Inode) syscall.Errno {
	t, ok := target.(*node)
	if !ok || t.fs != n.fs {
		return syscall.EXDEV
	}
	if e := n.fs.changeable(); e != 0 {
		return e
	}
	fid, e := t.acquireFid()
	if e != 0 {
		return e
	}
	defer t.releaseFid()
	return n.in(tLink, name, func(r *request) {
		r.put(4, uint64(fid))
		r.str(name)
	})
}

// Remove removes a name.
func (n *node) Remove(name string, dir bool) syscall.Errno {
	const removeDir = 0x200 // AT_REMOVEDIR
	flags := uint64(0)
	if dir {
		flags = removeDir
	}
	return n.in(tUnlinkat, name, func(r *request) { r.put(4, flags) })
}

// Rename moves a name. The protocol has no exchange.
func (n *node) Rename(name string, to kernel.Directory, newName string, exchange bool) syscall.Errno {
	t, ok := to.(*node)
	if !ok || t.fs != n.fs {
		return syscall.EXDEV
	}
	if e := n.fs.changeable(); e != 0 {
		return e
	}
	if exchange {
		return syscall.EINVAL // as Linux's client does
	}
	dir, e := t.acquireFid()
	if e != 0 {
		return e
	}
	defer t.releaseFid()
	return n.in(tRenameat, name, func(r *request) {
		r.put(4, uint64(dir))
		r.str(newName)
	})
}
