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
	fs.addTexts(dir, nil,
		"cgroup", "0::/\n",
		"oom_score", "0\n",
		"sessionid", "4294967295\n",
		"setgroups", "allow\n",
		"uid_map", "         0          0 4294967295\n",
		"gid_map", "         0          0 4294967295\n",
		"wchan", "0",
		"schedstat", "0 0 0\n",
		"io", "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
		"net/dev", "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
		"net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
		"net/if_inet6", "",
		"net/tcp", tcpHeader,
		"net/tcp6", tcpHeader,
		"net/udp", tcpHeader,
		"net/udp6", tcpHeader,
		"net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n",
		"net/arp", "IP address       HW type     Flags       HW address            Mask     Device\n",
		"net/snmp", "",
		"net/netstat", "",
		"net/sockstat", "",
		"net/protocols", "",
	)
	fs.addTexts(dir, discard,
		"oom_score_adj", "0\n",
		"oom_adj", "0\n",
		"coredump_filter", "00000033\n",
		"loginuid", "4294967295\n",
	)
	fs.magicLink(dir+"exe", func(k *Kernel) string { return k.opt.Path }, openExecutable)
	fs.magicLink(dir+"cwd", func(k *Kernel) string { return k.vfs.path(k.cwd()) },
		func(k *Kernel) (*dentry, syscall.Errno) { return k.cwd(), 0 })
	fs.magicLink(dir+"root", func(*Kernel) string { return "/" },
		func(k *Kernel) (*dentry, syscall.Errno) { return k.vfs.root, 0 })
	fs.add(dir+"fd", fs.fdDir(fs.fdLink))
	fs.add(dir+"fdinfo", fs.fdDir(fs.fdInfo))
	for _, n := range [...]string{"uts", "ipc", "net", "pid", "user", "mnt", "cgroup", "time"} {
		fs.link(dir+"ns/"+n, func(*Kernel) string { return n + ":[4026531840]" })
	}
}

func procProcess() genTable {
	return genTable{
		{"cmdline", func(k *Kernel, b []byte) []byte { return nulTerminated(b, k.opt.Args) }, nil},
		{"environ", func(k *Kernel, b []byte) []byte { return nulTerminated(b, k.opt.Env) }, nil},
		{"comm", func(k *Kernel, b []byte) []byte { return append(append(b, k.proc.name(k)...), '\n') },
			func(k *Kernel, p []byte) syscall.Errno { k.proc.setName(strings.TrimRight(string(p), "\n")); return 0 }},
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

const tcpHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

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

func selfStat(k *Kernel, b []byte) []byte {
	used := k.usedMemory()
	f := make([]string, 52)
	for i := range f {
		f[i] = "0"
	}
	set := func(field int, v string) { f[field-1] = v } // field numbers as in proc_pid_stat(5)
	set(1, strconv.Itoa(pid))
	set(2, "("+k.proc.name(k)+")")
	set(3, "R")
	set(5, strconv.Itoa(pid))
	set(6, strconv.Itoa(pid))
	set(14, strconv.FormatInt(k.cpuTime()/(1e9/userHZ), 10))
	set(18, "20")
	set(20, "1")
	set(22, "1") // start time, in ticks after boot
	set(23, utoa(used))
	set(24, utoa(used/pageSize))
	set(25, "18446744073709551615")
	set(38, "17")
	return append(append(b, strings.Join(f, " ")...), '\n')
}

func selfStatm(k *Kernel, b []byte) []byte {
	n := utoa(k.usedMemory() / pageSize)
	return append(b, n+" "+n+" 0 0 0 "+n+" 0\n"...)
}

func selfStatus(k *Kernel, b []byte) []byte {
	c := k.proc.credentials()
	four := func(v [3]uint32) string {
		s := ""
		for _, x := range v {
			s += "\t" + utoa(uint64(x))
		}
		return s + "\t" + utoa(uint64(v[1]))
	}
	groups := "" // each group is followed by a space
	for _, g := range k.proc.groupList() {
		groups += utoa(uint64(g)) + " "
	}
	kb := utoa(k.usedMemory() / 1024)
	n, _ := k.m.CPUs()
	caps := "000001ffffffffff"
	return append(b, "Name:\t"+k.proc.name(k)+"\nUmask:\t0"+strconv.FormatUint(uint64(k.proc.umask.Load()), 8)+
		"\nState:\tR (running)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0\nUid:"+four(c.uid)+"\nGid:"+four(c.gid)+
		"\nFDSize:\t"+strconv.Itoa(len(k.fds.numbers()))+"\nGroups:\t"+groups+"\nVmPeak:\t"+kb+" kB\nVmSize:\t"+kb+
		" kB\nVmLck:\t0 kB\nVmHWM:\t"+kb+" kB\nVmRSS:\t"+kb+" kB\nRssAnon:\t"+kb+" kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\nVmData:\t"+kb+
		" kB\nVmSwap:\t0 kB\nThreads:\t1\nSigQ:\t0/0\nCapInh:\t0000000000000000\nCapPrm:\t"+caps+"\nCapEff:\t"+caps+"\nCapBnd:\t"+caps+
		"\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\nCpus_allowed_list:\t"+cpuList(n)+
		"\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n"...)
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
	links := 0
	if d, e := k.vfs.resolve(k.vfs.root, k.opt.Path, true, &links); e == 0 {
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
	case *console:
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

func (fs *genFS) fdInfo(fd int) Inode {
	return &genFile{
		genNode: genNode{fs: fs, ino: 2<<32 + uint64(fd), mode: syscall.S_IFREG | 0o400},
		read: func(k *Kernel, b []byte) []byte {
			d, e := k.fds.get(fd)
			if e != 0 {
				return b
			}
			defer d.DecRef()
			d.posMu.Lock()
			pos := d.pos
			d.posMu.Unlock()
			flags := strconv.FormatUint(uint64(uint32(d.flags.Load())), 8)
			return append(b, "pos:\t"+strconv.FormatInt(pos, 10)+"\nflags:\t0"+flags+"\nmnt_id:\t20\n"...)
		},
	}
}
