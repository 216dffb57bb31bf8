package kernel

import (
	"strconv"
	"strings"
	"syscall"
)

// This file is /proc/1, which /proc/self points to, as in proc_pid(5).

// addProcess adds the process's files under dir.
func (fs *genFS) addProcess(dir string) {
	t := procProcess()
	for i := range t {
		t[i].path = dir + t[i].path
	}
	fs.addTable(t)
	fs.file(dir+"environ", 0o400, func(k *Kernel, b []byte) []byte { return nulTerminated(b, k.opt.Env) }, nil)
	fs.file(dir+"io", 0o400, selfIO, nil)
	fs.file(dir+"mountstats", 0o400, selfMountstats, nil)
	fs.addTexts(dir, nil,
		"cgroup", "0::/\n",
		"oom_score", "0\n",
		"sessionid", "4294967295\n",
		"setgroups", "allow\n",
		"uid_map", "         0          0 4294967295\n",
		"gid_map", "         0          0 4294967295\n",
		"wchan", "0",
	)
	fs.addStored(dir)
	fs.watch(dir+"mounts", pollMounts, &fs.k.vfs.mountChanges)
	fs.watch(dir+"mountinfo", pollMounts, &fs.k.vfs.mountChanges)
	fs.magicLink(dir+"exe", func(k *Kernel) string { return k.opt.Path }, openExecutable)
	fs.magicLink(dir+"cwd", func(k *Kernel) string { return k.vfs.path(k.cwd()) },
		func(k *Kernel) (*dentry, syscall.Errno) { return k.cwd(), 0 })
	fs.magicLink(dir+"root", func(*Kernel) string { return "/" },
		func(k *Kernel) (*dentry, syscall.Errno) { return k.vfs.root, 0 })
	links := fs.fdDir(fs.fdLink)
	links.mode, links.counted = syscall.S_IFDIR|0o500, true
	fs.add(dir+"fd", links)
	fs.add(dir+"fdinfo", fs.fdDir(fs.fdInfo))
	for _, n := range [...]string{"uts", "ipc", "net", "pid", "user", "mnt", "cgroup", "time"} {
		fs.link(dir+"ns/"+n, func(*Kernel) string { return n + ":[4026531840]" })
	}
	for _, n := range [...]string{"pid", "time"} {
		fs.link(dir+"ns/"+n+"_for_children", func(*Kernel) string { return n + ":[4026531840]" })
	}
}

func procProcess() genTable {
	return genTable{
		{"cmdline", func(k *Kernel, b []byte) []byte { return nulTerminated(b, k.opt.Args) }, nil},
		{"comm", func(k *Kernel, b []byte) []byte { return append(append(b, k.proc.name(k)...), '\n') },
			func(k *Kernel, p []byte) syscall.Errno { k.proc.setName(strings.TrimRight(string(p), "\n")); return 0 }},
		{"schedstat", selfSchedstat, nil},
		{"stat", selfStat, nil},
		{"statm", selfStatm, nil},
		{"status", selfStatus, nil},
		{"limits", selfLimits, nil},
		{"maps", selfMaps, nil},
		{"smaps_rollup", selfSmaps, nil},
		{"mounts", selfMounts, nil},
		{"mountinfo", selfMountinfo, nil},
	}
}

func nulTerminated(b []byte, list []string) []byte {
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}

// usedMemory is the memory that is reported as the process's, in bytes.
func (k *Kernel) usedMemory() uint64 {
	total, free := k.m.Memory()
	return total - min(free, total)
}

func cpuList(n int) string {
	if n <= 1 {
		return "0"
	}
	return "0-" + strconv.Itoa(n-1)
}

// selfMaps lists the mapped memory, with the names of mapped files and of the program, whose
// text is executable.
func selfMaps(k *Kernel, b []byte) []byte {
	named := k.maps.names(k)
	var addr uintptr
	for {
		start, end, prot := k.m.Area(addr)
		if end <= addr {
			return b
		}
		name, at := "", len(b)
		if prot&syscall.PROT_EXEC != 0 && addr == 0 {
			name = k.opt.Path
		} else {
			name = named[start]
		}
		b = hexAddress(append(hexAddress(b, start), '-'), end)
		b = append(b, ' ', "-r"[prot&1], "-w"[prot>>1&1], "-x"[prot>>2&1])
		b = append(b, "p 00000000 00:00 0 "...)
		if name != "" {
			b = append(b, strings.Repeat(" ", max(73-(len(b)-at), 0))...)
			b = append(b, strings.ReplaceAll(name, "\n", `\012`)...)
		}
		b = append(b, '\n')
		addr = end
	}
}

// hexAddress appends an address with at least eight digits.
func hexAddress(b []byte, addr uintptr) []byte {
	s := strconv.FormatUint(uint64(addr), 16)
	return append(append(b, "00000000"[:max(8-len(s), 0)]...), s...)
}

func selfSmaps(k *Kernel, b []byte) []byte {
	kb := utoa(k.usedMemory() / 1024)
	return append(b, "00400000-7ffffffff000 ---p 00000000 00:00 0                          [rollup]\nRss:            "+kb+
		" kB\nPss:            "+kb+" kB\nPrivate_Dirty:  "+kb+" kB\nAnonymous:      "+kb+" kB\nSwap:                  0 kB\n"...)
}

func selfLimits(k *Kernel, b []byte) []byte {
	pad := func(s string, n int) string { return s + strings.Repeat(" ", max(n-len(s), 1)) }
	val := func(v uint64) string {
		if v == rlimInfinity {
			return "unlimited"
		}
		return utoa(v)
	}
	b = append(b, "Limit                     Soft Limit           Hard Limit           Units     \n"...)
	for i, l := range limitNames {
		r := k.proc.limits(i)
		b = append(b, pad(l.name, 26)+pad(val(r.cur), 21)+pad(val(r.max), 21)+pad(l.unit, 10)+"\n"...)
	}
	return b
}

// mangle writes a path as in /proc/mounts: bytes that would end a field or a line are octal.
func mangle(path string) string {
	if !strings.ContainsAny(path, " \t\n\\") {
		return path
	}
	var b []byte
	for _, c := range []byte(path) {
		switch c {
		case ' ', '\t', '\n', '\\':
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func selfMounts(k *Kernel, b []byte) []byte {
	for _, m := range k.vfs.mountList() {
		b = append(b, m.source+" "+mangle(k.vfs.path(m.root))+" "+m.fs.Type()+" "+m.options()+" 0 0\n"...)
	}
	return b
}

func selfMountstats(k *Kernel, b []byte) []byte {
	for _, m := range k.vfs.mountList() {
		b = append(b, "device "+m.source+" mounted on "+mangle(k.vfs.path(m.root))+" with fstype "+m.fs.Type()+"\n"...)
	}
	return b
}

func selfMountinfo(k *Kernel, b []byte) []byte {
	for _, m := range k.vfs.mountList() {
		var st syscall.Stat_t
		m.root.inode.Stat(&st)
		parent := 1
		if m.point != nil {
			parent = m.point.mnt.id
		}
		b = append(b, strconv.Itoa(m.id)+" "+strconv.Itoa(parent)+" "+utoa(uint64(major(st.Dev)))+":"+utoa(uint64(minor(st.Dev)))+
			" / "+mangle(k.vfs.path(m.root))+" "+m.options()+" - "+m.fs.Type()+" "+m.source+" "+m.options()[:2]+"\n"...)
	}
	return b
}

// openExecutable opens the running program: the file of that name if there is one, otherwise
// the image from Options.
func openExecutable(k *Kernel) (*dentry, syscall.Errno) {
	var w walk
	if d, e := k.vfs.resolve(k.vfs.root, k.opt.Path, true, &w); e == 0 {
		return d, 0
	}
	if k.opt.Executable == nil {
		return nil, syscall.ENOENT
	}
	f := &tmpFile{generate: k.opt.Executable}
	f.data.fs = k.vfs.rootFS
	f.init(k.vfs.rootFS, syscall.S_IFREG|0o555)
	return newDentry(f, k.vfs.initial, nil, k.opt.Path), 0
}

// fdDir is a directory with one entry per descriptor.
func (fs *genFS) fdDir(entry func(fd int) Inode) *genDir {
	d := fs.newDir()
	d.dynamic = func(name string) (Inode, syscall.Errno) {
		fd, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(fd) != name {
			return nil, syscall.ENOENT
		}
		desc, e := fs.k.fds.get(fd)
		if e != 0 {
			return nil, syscall.ENOENT
		}
		desc.DecRef()
		return entry(fd), 0
	}
	d.list = func() []string {
		var out []string
		for _, fd := range fs.k.fds.numbers() {
			out = append(out, strconv.Itoa(fd))
		}
		return out
	}
	return d
}

func (fs *genFS) fdLink(fd int) Inode {
	return &genMagic{genLink{
		genNode: genNode{fs: fs, ino: 1<<32 + uint64(fd), mode: syscall.S_IFLNK | 0o700},
		to:      func(k *Kernel) string { return k.fdName(fd) },
		object:  func(k *Kernel) (*dentry, syscall.Errno) { return k.fdObject(fd) },
	}}
}

// fdName is the target of the link /proc/self/fd/N.
func (k *Kernel) fdName(fd int) string {
	d, e := k.fds.get(fd)
	if e != 0 {
		return ""
	}
	defer d.DecRef()
	if d.where != nil {
		return k.vfs.path(d.where)
	}
	var st syscall.Stat_t
	d.file.Stat(&st)
	id := ":[" + utoa(st.Ino) + "]"
	switch d.file.(type) {
	case *console, *standardError:
		if k.opt.Terminal {
			return "/dev/console"
		}
		return "pipe" + id
	case *pipeEnd:
		return "pipe" + id
	case Socket:
		return "socket" + id
	case *eventFD:
		return "anon_inode:[eventfd]"
	case *timerFD:
		return "anon_inode:[timerfd]"
	case *epoll:
		return "anon_inode:[eventpoll]"
	case *inotify:
		return "anon_inode:inotify"
	case *pidFD:
		return "anon_inode:[pidfd]"
	}
	return "anon_inode" + id
}

// fdObject is the object that is opened through /proc/self/fd/N.
func (k *Kernel) fdObject(fd int) (*dentry, syscall.Errno) {
	d, e := k.fds.get(fd)
	if e != 0 {
		return nil, syscall.ENOENT
	}
	defer d.DecRef()
	if d.where != nil {
		return d.where, 0
	}
	return newDentry(&anonInode{k: k, fd: fd, file: d.file}, k.vfs.initial, nil, k.fdName(fd)), 0
}

// anonInode stands for the object of a descriptor without a name.
type anonInode struct {
	k    *Kernel
	fd   int
	file File
}

func (n *anonInode) Type() uint32 {
	var st syscall.Stat_t
	n.file.Stat(&st)
	return st.Mode & syscall.S_IFMT
}
func (n *anonInode) Stat(st *syscall.Stat_t) syscall.Errno { return n.file.Stat(st) }
func (n *anonInode) SetAttr(AttrChange) syscall.Errno      { return 0 }
func (n *anonInode) Open(int) (File, syscall.Errno)        { return nil, syscall.ENXIO }

// reopen returns the same open file once more. On Linux a pipe would get a new description;
// here it shares the old one. A socket is ENXIO, as on Linux.
func (n *anonInode) reopen() (*Description, syscall.Errno) {
	if _, ok := n.file.(Socket); ok {
		return nil, syscall.ENXIO
	}
	d, e := n.k.fds.get(n.fd)
	if e != 0 {
		return nil, syscall.ENOENT
	}
	return d, 0
}
