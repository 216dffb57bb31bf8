package kernel

import (
	"strings"
	"syscall"
)

// This file builds the initial tree of files and lets the wiring add files to it.

// buildTree makes the root from the machine's archive, adds the files that every Linux system
// has unless the archive has them, and mounts /dev, /proc and /sys.
func (k *Kernel) buildTree() {
	v := &k.vfs
	v.k = k
	v.rootFS = newTmpfs(k, "tmpfs", 1)
	v.rootFS.used = &k.filePages
	v.initial = v.mountAt(nil, v.rootFS, "rootfs")
	v.memfds = &mount{fs: v.rootFS, source: "tmpfs"}
	v.root = v.initial.root
	if archive := k.m.InitialFiles(); archive != nil {
		if err := v.rootFS.unpack(archive); err != nil {
			k.Log("initial files: " + err.Error())
		}
	}
	v.rootFS.addDefaults()
	v.procFS = k.buildProc()
	v.sysFS = k.buildSys()
	v.devFS = k.buildDev()
	k.mountNew("dev", v.devFS, "devtmpfs")
	k.mountNew("proc", v.procFS, "proc")
	k.mountNew("sys", v.sysFS, "sysfs")

	v.pendingMu.Lock()
	pending := v.pending
	v.pending, v.built = nil, true
	v.pendingMu.Unlock()
	for _, f := range pending {
		f()
	}
}

// mountNew mounts fs on a directory of the root.
func (k *Kernel) mountNew(name string, fs FileSystem, source string) {
	k.vfs.rootFS.place(name, syscall.S_IFDIR|0o755)
	if d, e := k.vfs.child(k.vfs.root, name); e == 0 {
		k.vfs.mountAt(d, fs, source)
	}
}

// withTree runs f now if the tree exists, else when it is built: files that the wiring adds at
// start must cost nothing until files are used.
func (k *Kernel) withTree(f func()) {
	v := &k.vfs
	v.pendingMu.Lock()
	if !v.built {
		v.pending = append(v.pending, f)
		v.pendingMu.Unlock()
		return
	}
	v.pendingMu.Unlock()
	f()
}

// SetFile makes path a read-only file whose content read generates at each open. A file of
// that name in the initial archive takes precedence.
func (k *Kernel) SetFile(path string, read func() []byte) {
	k.withTree(func() {
		path := strings.Trim(path, "/")
		made := func(_ *Kernel, b []byte) []byte { return append(b, read()...) }
		switch dir, rest, _ := strings.Cut(path, "/"); dir {
		case "proc":
			if r, ok := strings.CutPrefix(rest, "net/"); ok {
				rest = "1/net/" + r
			}
			if before, after, ok := strings.Cut(rest, "self/"); ok {
				rest = before + "1/" + after
			}
			k.vfs.procFS.file(rest, 0o444, made, nil)
		case "sys":
			k.vfs.sysFS.file(rest, 0o444, made, nil)
		default:
			k.vfs.rootFS.setGenerated(path, read)
		}
	})
}

// setGenerated makes path a file with generated content, unless it exists already.
func (fs *tmpfs) setGenerated(path string, read func() []byte) {
	var n tmpInode = fs.place(path, syscall.S_IFREG|0o644)
	if n == nil {
		n, _ = fs.find(path)
	} else {
		n.(*tmpFile).standard = true
	}
	if f, ok := n.(*tmpFile); ok {
		f.mu.Lock()
		if f.standard {
			f.generate = read
		}
		f.mu.Unlock()
	}
}

// WriteFile makes path an ordinary file with that content, replacing an existing one. data is
// used in place until the file is written.
func (k *Kernel) WriteFile(path string, data []byte, mode uint32) {
	k.withTree(func() {
		path := strings.Trim(path, "/")
		fs := k.vfs.rootFS
		n := fs.place(path, syscall.S_IFREG|mode&0o7777)
		if n == nil {
			n, _ = fs.find(path)
		}
		if f, ok := n.(*tmpFile); ok {
			f.mu.Lock()
			f.generate, f.standard = nil, false
			f.data.truncate(0)
			f.data.base, f.data.size = data, int64(len(data))
			f.mode = syscall.S_IFREG | mode&0o7777
			f.mu.Unlock()
		}
	})
}

// SetTree mounts on dir a read-only tree whose files open finds by their path below dir. It
// cannot be listed.
func (k *Kernel) SetTree(dir string, open func(name string) ([]byte, bool)) {
	k.withTree(func() {
		dir := strings.Trim(dir, "/")
		if n, _ := k.vfs.rootFS.find(dir); n != nil {
			return // the archive has its own
		}
		k.vfs.rootFS.place(dir, syscall.S_IFDIR|0o755)
		var w walk
		if d, e := k.vfs.resolve(k.vfs.root, "/"+dir, true, &w); e == 0 {
			k.vfs.mountAt(d, newTreeFS(k, open), "yolk")
		}
	})
}

// mkdirAll makes a directory and its ancestors, in the file system that is mounted there.
func (k *Kernel) mkdirAll(path string) syscall.Errno {
	d := k.tree()
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		next, e := k.mkdirIn(d, name)
		if e != 0 {
			return e
		}
		d = next
	}
	return 0
}

// mkdirIn returns the object of name in d, a new directory if the name is free.
func (k *Kernel) mkdirIn(d *dentry, name string) (*dentry, syscall.Errno) {
	defer k.vfs.lockNames(d)()
	var w walk
	next, e := k.vfs.resolve(d, name, true, &w)
	if e != syscall.ENOENT {
		return next, e
	}
	return k.create(d, name, func(p Directory) (Inode, syscall.Errno) {
		return p.Create(name, syscall.S_IFDIR|0o755, 0)
	})
}

// find returns the inode at a clean path of the file system; it does not cross mounts or
// links.
func (fs *tmpfs) find(path string) (tmpInode, syscall.Errno) {
	var n tmpInode = fs.root
	for _, name := range strings.Split(path, "/") {
		if name == "" || name == "." {
			continue
		}
		d, ok := n.(*tmpDir)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		if n = d.entry(name); n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, 0
}

// place makes an inode at a clean path, and its directories; nil if the name is taken or the
// path leads through something other than directories.
func (fs *tmpfs) place(path string, mode uint32) tmpInode {
	d := fs.root
	names := strings.Split(path, "/")
	for i, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > nameMax {
			return nil
		}
		n := d.entry(name)
		if i == len(names)-1 {
			if n != nil {
				return nil
			}
			n = fs.newInode(mode, 0)
			n.node().uid, n.node().gid = 0, 0
			d.add(name, n)
			return n
		}
		if n == nil {
			n = fs.newInode(syscall.S_IFDIR|0o755, 0)
			n.node().uid, n.node().gid = 0, 0
			d.add(name, n)
		}
		sub, ok := n.(*tmpDir)
		if !ok {
			return nil
		}
		d = sub
	}
	return nil
}

// defaultFiles are the files that libraries expect on a Linux system.
var defaultFiles = [...]struct{ path, content string }{
	{"etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
	{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
	{"etc/group", "root:x:0:\nnogroup:x:65534:\n"},
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
	{"etc/os-release", "ID=yolk\nNAME=yolk\nPRETTY_NAME=yolk\n"},
	{"etc/resolv.conf", ""},
}

// addDefaults adds the files that the archive does not have.
func (fs *tmpfs) addDefaults() {
	fs.place("tmp", syscall.S_IFDIR|syscall.S_ISVTX|0o777)
	fs.place("root", syscall.S_IFDIR|0o700)
	for _, dir := range [...]string{"usr/bin", "home", "mnt", "opt"} {
		fs.place(dir, syscall.S_IFDIR|0o755)
	}
	fs.place("var/tmp", syscall.S_IFDIR|syscall.S_ISVTX|0o777)
	fs.place("run", syscall.S_IFDIR|0o755)
	for i := range defaultFiles {
		f := &defaultFiles[i]
		if n, ok := fs.place(f.path, syscall.S_IFREG|0o644).(*tmpFile); ok {
			n.data.base = []byte(f.content)
			n.data.size = int64(len(f.content))
			n.standard = true
		}
	}
	k := fs.k
	if n, ok := fs.place("etc/hostname", syscall.S_IFREG|0o644).(*tmpFile); ok {
		n.generate, n.standard = func() []byte { return []byte(k.nodeName() + "\n") }, true
	}
}

// MakeSocketNode makes the file that a unix socket binds to (unix(7)). LookupSocketNode
// returns owner for it. EADDRINUSE if the name is taken.
func (k *Kernel) MakeSocketNode(path string, mode uint32, owner any) syscall.Errno {
	start, e := k.startAt(atFdCwd, path)
	if e != 0 {
		return e
	}
	var w walk
	dir, name, _, e := k.vfs.resolveParent(start, path, &w)
	if e != 0 {
		return e
	}
	if name == "" {
		return syscall.EADDRINUSE
	}
	d, e := k.addIn(dir, name, false, func(p Directory, name string) (Inode, syscall.Errno) {
		return p.Create(name, syscall.S_IFSOCK|mode&^k.proc.umask.Load()&0o7777, 0)
	})
	if e == syscall.EEXIST {
		return syscall.EADDRINUSE
	}
	if e != 0 {
		return e
	}
	if n, ok := d.inode.(specialInode); ok {
		s := n.special()
		s.mu.Lock()
		s.owner = owner
		s.mu.Unlock()
	}
	k.notifyEntry(d, inCreate)
	return 0
}

// LookupSocketNode returns the owner of the socket at path: ECONNREFUSED if it is not a
// socket of this kernel.
func (k *Kernel) LookupSocketNode(path string) (any, syscall.Errno) {
	d, e := k.lookupPath(atFdCwd, path, true)
	if e != 0 {
		return nil, e
	}
	if n, ok := d.inode.(specialInode); ok && n.Type() == syscall.S_IFSOCK {
		s := n.special()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.owner != nil {
			return s.owner, 0
		}
	}
	return nil, syscall.ECONNREFUSED
}
