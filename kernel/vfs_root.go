package kernel

import "syscall"

// This file replaces the initial root file system by another: root=.

// rootPlaces are the directories that a root must have: for the kernel's own file systems, and
// for files that do not outlive the machine.
var rootPlaces = [...]struct {
	name string
	mode uint32
	own  bool // gets a tmpfs of its own
	must bool // even a read-only file system must have it
}{
	{"dev", 0o755, false, true}, {"proc", 0o555, false, true}, {"sys", 0o555, false, true},
	{"tmp", syscall.S_ISVTX | 0o777, true, true}, {"run", 0o755, true, false}, {"etc", 0o755, false, false},
}

// MountRoot makes fs the root, as the kernel does at boot. /dev, /proc and /sys move there;
// /tmp and /run are new and empty. Where fs lacks one of the defaultFiles, or has an empty one
// or a dangling link, that of the initial file system is mounted over it. The rest of the
// initial file system cannot be reached any more. Directories that are missing for this are
// made; ENOENT if they cannot be. It must be called before the program runs.
func (k *Kernel) MountRoot(fs FileSystem, source string) syscall.Errno {
	k.tree()
	v := &k.vfs
	old := v.root
	m := v.mountAt(nil, fs, source)
	for _, p := range rootPlaces {
		if e := k.ensureDir(m.root, p.name, p.mode); e != 0 && (p.must || e != syscall.ENOENT) {
			v.dropMount(m)
			return e
		}
	}
	v.mu.Lock()
	v.root = m.root
	v.mu.Unlock()
	for _, p := range rootPlaces {
		d, e := v.child(m.root, p.name)
		if e != 0 || !d.isDir() {
			continue // another object has the name
		}
		if p.own {
			v.mountAt(d, k.newMemoryFS(p.mode), "tmpfs")
		} else if top, e := v.child(old, p.name); e == 0 && top.mnt != old.mnt {
			v.moveMount(top.mnt, d)
		}
	}
	for i := range defaultFiles {
		k.bindInitial(old, defaultFiles[i].path)
	}
	k.bindInitial(old, "etc/hostname")
	return 0
}

// ensureDir makes the directory name in d unless the name exists.
func (k *Kernel) ensureDir(d *dentry, name string, mode uint32) syscall.Errno {
	if _, e := k.vfs.child(d, name); e != syscall.ENOENT {
		return e
	}
	if d.mnt.readOnly() {
		return syscall.ENOENT
	}
	defer k.vfs.lockNames(d)()
	_, e := k.create(d, name, func(p Directory) (Inode, syscall.Errno) {
		return p.Create(name, syscall.S_IFDIR|mode, 0)
	})
	return e
}

// newMemoryFS makes an empty tmpfs whose root has that mode.
func (k *Kernel) newMemoryFS(mode uint32) FileSystem {
	fs := newTmpfs(k, "tmpfs", k.NewDevice())
	fs.root.mode = syscall.S_IFDIR | mode
	return fs
}

// dropMount removes the newest mount from the list.
func (v *vfs) dropMount(m *mount) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mounts = v.mounts[:len(v.mounts)-1]
}

// moveMount moves a mount to the directory d.
func (v *vfs) moveMount(m *mount, d *dentry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m.point.mounted = nil
	v.cover(d, m)
}

// bindInitial mounts the initial file system's file at a path of the root, unless the root has
// one that is not empty, or no directory for it.
func (k *Kernel) bindInitial(old *dentry, path string) {
	v := &k.vfs
	var w walk
	from, e := v.resolve(old, path, false, &w)
	if e != 0 {
		return
	}
	dir, name, _, e := v.resolveParent(v.root, path, &w)
	if e != 0 {
		return
	}
	var st syscall.Stat_t
	d, e := v.resolve(v.root, path, true, &w)
	if e == 0 && (d.inode.Type() != syscall.S_IFREG || d.inode.Stat(&st) != 0 || st.Size != 0) || e != 0 && e != syscall.ENOENT {
		return
	}
	at, e := v.child(dir, name) // empty, or a dangling link
	if e != 0 {
		at = newDentry(from.inode, dir.mnt, dir, name) // not visible: the mount covers it
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	m := &mount{fs: old.mnt.fs, source: "rootfs", id: len(v.mounts) + 20}
	m.root = newDentry(from.inode, m, nil, "")
	v.cover(at, m)
	v.mounts = append(v.mounts, m)
}
