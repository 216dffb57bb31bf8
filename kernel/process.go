package kernel

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// pid is the process id of the only process, which is init.
const pid = 1

// processState is the state that Linux has for a process.
type processState struct {
	cwd   atomic.Pointer[dentry] // nil: the root
	umask atomic.Uint32
	ids   atomic.Uint64 // the last inode number of a file without a name

	stored [len(storedSettings)]atomic.Int64 // files of /proc/self, see addStored

	noFile atomic.Uint64 // the soft limit RLIMIT_NOFILE, read on every open

	mu       sync.Mutex
	cred     credentials
	groups   []uint32
	rlimits  [len(limitNames)]rlimit
	comm     string
	bootID   string // guarded by Kernel.hostMu
	nice     int
	ioprio   atomic.Int32 // ioprio_set(2)
	noNew    bool
	keepCaps uintptr
}

// credentials are the real, effective and saved ids (credentials(7)). They are recorded and
// reported, but nothing is refused because of them.
type credentials struct{ uid, gid [3]uint32 }

type rlimit struct{ cur, max uint64 }

const rlimInfinity = 1<<64 - 1

// These are resources of getrlimit(2). The kernel only enforces rlimitNoFile.
const (
	rlimitStack      = syscall.RLIMIT_STACK
	rlimitCore       = syscall.RLIMIT_CORE
	rlimitNoFile     = syscall.RLIMIT_NOFILE
	rlimitSigPending = 11
	rlimitNice       = 13
	rlimitRTPrio     = 14
)

// limitNames are the resources in order, as /proc/self/limits names them.
var limitNames = [...]struct{ name, unit string }{
	{"Max cpu time", "seconds"},
	{"Max file size", "bytes"},
	{"Max data size", "bytes"},
	{"Max stack size", "bytes"},
	{"Max core file size", "bytes"},
	{"Max resident set", "bytes"},
	{"Max processes", "processes"},
	{"Max open files", "files"},
	{"Max locked memory", "bytes"},
	{"Max address space", "bytes"},
	{"Max file locks", "locks"},
	{"Max pending signals", "signals"},
	{"Max msgqueue size", "bytes"},
	{"Max nice priority", ""},
	{"Max realtime priority", ""},
	{"Max realtime timeout", "us"},
}

func (p *processState) init() {
	p.umask.Store(0o022)
	p.ids.Store(100)
	for i := range p.rlimits {
		p.rlimits[i] = rlimit{rlimInfinity, rlimInfinity}
	}
	p.rlimits[rlimitStack].cur = 8 << 20 // as in a Linux login
	p.rlimits[rlimitCore] = rlimit{}
	p.rlimits[rlimitNice], p.rlimits[rlimitRTPrio] = rlimit{}, rlimit{}
	p.rlimits[rlimitNoFile] = rlimit{maxFiles, maxFiles}
	p.noFile.Store(maxFiles)
}

// nextID returns an unused inode number for an object without a file system.
func (p *processState) nextID() uint64 { return p.ids.Add(1) }

// limit returns a soft limit. That of open files is read without a lock.
func (p *processState) limit(which int) uint64 {
	if which == rlimitNoFile {
		return p.noFile.Load()
	}
	return p.limits(which).cur
}

func (p *processState) limits(which int) rlimit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rlimits[which]
}

func (p *processState) setLimits(which int, r rlimit) syscall.Errno {
	if r.cur > r.max {
		return syscall.EINVAL
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if which == rlimitNoFile {
		if r.max > maxFiles {
			return syscall.EPERM
		}
		p.noFile.Store(r.cur)
	}
	p.rlimits[which] = r
	return 0
}

func (p *processState) credentials() credentials {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cred
}

// owner returns the ids that new files get.
func (p *processState) owner() (uid, gid uint32) {
	c := p.credentials()
	return c.uid[1], c.gid[1]
}

// name is the command name: the last part of argument 0, unless it was set.
func (p *processState) name(k *Kernel) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.comm != "" {
		return p.comm
	}
	n := k.opt.Path
	if len(k.opt.Args) > 0 {
		n = k.opt.Args[0]
	}
	for i := len(n) - 1; i >= 0; i-- {
		if n[i] == '/' {
			n = n[i+1:]
			break
		}
	}
	return n[:min(len(n), 15)]
}

func (p *processState) setName(n string) {
	p.mu.Lock()
	p.comm = n[:min(len(n), 15)] // TASK_COMM_LEN
	p.mu.Unlock()
}

// The functions below are the calls for process ids and credentials.

func sysGetpid(k *Kernel, a Args) (uintptr, syscall.Errno)  { return pid, 0 }
func sysGetppid(k *Kernel, a Args) (uintptr, syscall.Errno) { return 0, 0 }

// sysGetpgid is getpgid(2) and getsid(2): there is one process.
func sysGetpgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if id := a.Int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	return pid, 0
}

// sysSetpgid is setpgid(2): EPERM for a session leader (setpgid(2)).
func sysSetpgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if id := a.Int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	return 0, syscall.EPERM
}

func sysSetsid(k *Kernel, a Args) (uintptr, syscall.Errno) { return 0, syscall.EPERM }

// These are indexes of the arrays in credentials.
const (
	idReal = iota
	idEffective
	idSaved
)

func sysGetuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return uintptr(k.proc.credentials().uid[idReal]), 0
}
func sysGeteuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return uintptr(k.proc.credentials().uid[idEffective]), 0
}
func sysGetgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return uintptr(k.proc.credentials().gid[idReal]), 0
}
func sysGetegid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return uintptr(k.proc.credentials().gid[idEffective]), 0
}

func sysGetresuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, storeIDs(&a, k.proc.credentials().uid)
}

func sysGetresgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, storeIDs(&a, k.proc.credentials().gid)
}

func storeIDs(a *Args, ids [3]uint32) syscall.Errno {
	for i, id := range ids {
		p, e := user[uint32](a, i)
		if e != 0 {
			return e
		}
		*p = id
	}
	return 0
}

// setIDs stores new ids; ^0 keeps the current one. Without privilege only the current ids can be
// chosen (credentials(7)).
func (p *processState) setIDs(group bool, ids [3]uint32) syscall.Errno {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst := &p.cred.uid
	if group {
		dst = &p.cred.gid
	}
	if p.cred.uid[idEffective] != 0 {
		for _, id := range ids {
			if id != ^uint32(0) && !slices.Contains(dst[:], id) {
				return syscall.EPERM
			}
		}
	}
	for i, id := range ids {
		if id != ^uint32(0) {
			dst[i] = id
		}
	}
	return 0
}

// setID is setuid(2) and setgid(2): all three ids for root, else the effective.
func (p *processState) setID(group bool, id uint32) syscall.Errno {
	if id == ^uint32(0) {
		return syscall.EINVAL
	}
	if p.credentials().uid[idEffective] == 0 {
		return p.setIDs(group, [3]uint32{id, id, id})
	}
	return p.setIDs(group, [3]uint32{^uint32(0), id, ^uint32(0)})
}

func sysSetuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setID(false, uint32(a.N[0]))
}
func sysSetgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setID(true, uint32(a.N[0]))
}

// setreID is setreuid(2): the saved id follows the effective one if the real
// one is set.
func (p *processState) setreID(group bool, real, effective uint32) syscall.Errno {
	saved := ^uint32(0)
	if real != ^uint32(0) || effective != ^uint32(0) {
		saved = effective
	}
	return p.setIDs(group, [3]uint32{real, effective, saved})
}

func sysSetreuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setreID(false, uint32(a.N[0]), uint32(a.N[1]))
}
func sysSetregid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setreID(true, uint32(a.N[0]), uint32(a.N[1]))
}
func sysSetresuid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setIDs(false, [3]uint32{uint32(a.N[0]), uint32(a.N[1]), uint32(a.N[2])})
}
func sysSetresgid(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.proc.setIDs(true, [3]uint32{uint32(a.N[0]), uint32(a.N[1]), uint32(a.N[2])})
}

// sysSetfsuid is setfsuid(2): the file system id is the effective one.
func sysSetfsuid(k *Kernel, a Args) (uintptr, syscall.Errno) { return sysGeteuid(k, a) }
func sysSetfsgid(k *Kernel, a Args) (uintptr, syscall.Errno) { return sysGetegid(k, a) }

// groupList returns the supplementary groups. The list is replaced, never changed.
func (p *processState) groupList() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.groups
}

// sysGetgroups is getgroups(2).
func sysGetgroups(k *Kernel, a Args) (uintptr, syscall.Errno) {
	groups := k.proc.groupList()
	n := a.Int(0)
	if n == 0 {
		return uintptr(len(groups)), 0
	}
	if n < len(groups) {
		return 0, syscall.EINVAL
	}
	dst, e := userSlice[uint32](&a, 1, len(groups))
	return uintptr(copy(dst, groups)), e
}

// sysSetgroups is setgroups(2).
func sysSetgroups(k *Kernel, a Args) (uintptr, syscall.Errno) {
	n := a.Int(0)
	if n < 0 || n > 65536 {
		return 0, syscall.EINVAL
	}
	src, e := userSlice[uint32](&a, 1, n)
	if e != 0 {
		return 0, e
	}
	k.proc.mu.Lock()
	defer k.proc.mu.Unlock()
	if k.proc.cred.uid[idEffective] != 0 {
		return 0, syscall.EPERM
	}
	groups := make([]uint32, 0, n) // sorted, as by groups_sort in Linux
	for _, g := range src {
		i, _ := slices.BinarySearch(groups, g)
		groups = append(groups, g)
		copy(groups[i+1:], groups[i:])
		groups[i] = g
	}
	k.proc.groups = groups
	return 0, 0
}

// sysGetrlimit is getrlimit(2).
func sysGetrlimit(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.prlimit(&a, a.Int(0), -1, 1)
}

// sysSetrlimit is setrlimit(2).
func sysSetrlimit(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.prlimit(&a, a.Int(0), 1, -1)
}

// sysPrlimit64 is prlimit(2) for the calling process.
func sysPrlimit64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if id := a.Int(0); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	newArg, oldArg := 2, 3
	if a.Pointer(2) == nil {
		newArg = -1
	}
	if a.Pointer(3) == nil {
		oldArg = -1
	}
	return 0, k.prlimit(&a, a.Int(1), newArg, oldArg)
}

// prlimit reads and sets the limits that the arguments point to. Only the limit of open files is
// enforced.
func (k *Kernel) prlimit(a *Args, which, newArg, oldArg int) syscall.Errno {
	if which < 0 || which >= len(limitNames) {
		return syscall.EINVAL
	}
	old := k.proc.limits(which)
	if newArg >= 0 {
		r, e := user[rlimit](a, newArg)
		if e != 0 {
			return e
		}
		if e := k.proc.setLimits(which, *r); e != 0 {
			return e
		}
	}
	if oldArg >= 0 {
		r, e := user[rlimit](a, oldArg)
		if e != 0 {
			return e
		}
		*r = old
	}
	return 0
}
