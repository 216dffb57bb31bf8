package kernel

import (
	"runtime"
	"slices"
	"syscall"
)

// These are results of uname(2). Programs use the release to decide on features; the kernel's calls
// are those of this version.
const (
	osRelease   = "6.6.0-yolk"
	osVersion   = "#1 SMP yolk unikernel"
	versionLine = "Linux version " + osRelease + " (yolk) " + osVersion
)

// sysUname is uname(2).
func sysUname(k *Kernel, a Args) (uintptr, syscall.Errno) {
	u, e := user[syscall.Utsname](&a, 0)
	if e != 0 {
		return 0, e
	}
	set := func(dst *[65]int8, s string) {
		clear(dst[:])
		for i := 0; i < len(s) && i < len(dst)-1; i++ {
			dst[i] = int8(s[i])
		}
	}
	k.hostMu.Lock()
	host, domain := k.hostname, k.domain
	k.hostMu.Unlock()
	set(&u.Sysname, "Linux")
	set(&u.Nodename, host)
	set(&u.Release, osRelease)
	set(&u.Version, osVersion)
	set(&u.Machine, "x86_64")
	set(&u.Domainname, domain)
	return 0, 0
}

func (k *Kernel) nodeName() string {
	k.hostMu.Lock()
	defer k.hostMu.Unlock()
	return k.hostname
}

func (k *Kernel) setNodeName(s string) syscall.Errno {
	if len(s) > 64 {
		return syscall.EINVAL
	}
	k.hostMu.Lock()
	k.hostname = s
	k.hostMu.Unlock()
	k.hostChanges.happened()
	return 0
}

// sysSethostname is sethostname(2).
func sysSethostname(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(1) > 64 {
		return 0, syscall.EINVAL
	}
	p, e := a.Bytes(0, a.Int(1))
	if e != 0 {
		return 0, e
	}
	return 0, k.setNodeName(string(p))
}

func (k *Kernel) domainName() string {
	k.hostMu.Lock()
	defer k.hostMu.Unlock()
	return k.domain
}

func (k *Kernel) setDomainName(s string) syscall.Errno {
	if len(s) > 64 {
		return syscall.EINVAL
	}
	k.hostMu.Lock()
	k.domain = s
	k.hostMu.Unlock()
	k.domainChanges.happened()
	return 0
}

// sysSetdomainname is setdomainname(2).
func sysSetdomainname(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(1) > 64 {
		return 0, syscall.EINVAL
	}
	p, e := a.Bytes(0, a.Int(1))
	if e != 0 {
		return 0, e
	}
	return 0, k.setDomainName(string(p))
}

// sysSysinfo is sysinfo(2).
func sysSysinfo(k *Kernel, a Args) (uintptr, syscall.Errno) {
	s, e := user[syscall.Sysinfo_t](&a, 0)
	if e != 0 {
		return 0, e
	}
	total, free := k.m.Memory()
	*s = syscall.Sysinfo_t{Uptime: k.m.Nanotime() / 1e9, Totalram: total, Freeram: free, Procs: 1, Unit: 1}
	for i, v := range k.load.update(k.m.Nanotime(), k.cpuTime()) {
		s.Loads[i] = uint64(v >> (loadShift - 16)) // SI_LOAD_SHIFT
	}
	return 0, 0
}

// sysSchedYield is sched_yield(2).
func sysSchedYield(k *Kernel, a Args) (uintptr, syscall.Errno) {
	runtime.Gosched()
	return 0, 0
}

// sysSchedGetaffinity is sched_getaffinity(2): all CPUs that are online.
func sysSchedGetaffinity(k *Kernel, a Args) (uintptr, syscall.Errno) {
	n, _ := k.m.CPUs()
	need := (n + 63) / 64 * 8
	if a.Int(1) < need || a.N[1]%8 != 0 {
		return 0, syscall.EINVAL
	}
	p, e := a.Bytes(2, need)
	if e != 0 {
		return 0, e
	}
	clear(p)
	for i := range n {
		p[i/8] |= 1 << (i % 8)
	}
	return uintptr(need), 0
}

// sysSchedSetaffinity is sched_setaffinity(2): the mask is checked, and then ignored.
func sysSchedSetaffinity(k *Kernel, a Args) (uintptr, syscall.Errno) {
	p, e := a.Bytes(2, a.Int(1))
	if e != 0 {
		return 0, e
	}
	n, _ := k.m.CPUs()
	for i := range n {
		if i/8 < len(p) && p[i/8]>>(i%8)&1 != 0 {
			return 0, 0
		}
	}
	return 0, syscall.EINVAL
}

// sysGetcpu is getcpu(2). There is one NUMA node.
func sysGetcpu(k *Kernel, a Args) (uintptr, syscall.Errno) {
	for i, v := range [...]int{k.m.CPU(), 0} {
		if p := optional[uint32](&a, i); p != nil {
			*p = uint32(v)
		}
	}
	return 0, 0
}

// These are operations of prctl(2).
const (
	prSetPdeathsig   = 1
	prGetPdeathsig   = 2
	prGetDumpable    = 3
	prSetDumpable    = 4
	prGetKeepcaps    = 7
	prSetKeepcaps    = 8
	prSetName        = 15
	prGetName        = 16
	prGetSeccomp     = 21
	prCapbsetRead    = 23
	prCapbsetDrop    = 24
	prSetTimerslack  = 29
	prGetTimerslack  = 30
	prSetSubreaper   = 36
	prGetSubreaper   = 37
	prSetNoNewPrivs  = 38
	prGetNoNewPrivs  = 39
	prGetTHPDisable  = 42
	prSetTHPDisable  = 41
	prCapAmbient     = 47
	lastCapability   = 40
	defaultTimeSlack = 50000
)

// sysPrctl is prctl(2). PR_SET_VMA and operations that are not listed here are EINVAL.
func sysPrctl(k *Kernel, a Args) (uintptr, syscall.Errno) {
	switch a.Int(0) {
	case prSetName:
		n, e := a.cString(1, pathMax)
		if e != 0 {
			return 0, e
		}
		k.proc.setName(n)
		return 0, 0
	case prGetName:
		p, e := a.Bytes(1, 16)
		if e != 0 {
			return 0, e
		}
		clear(p)
		copy(p, k.proc.name(k))
		return 0, 0
	case prCapbsetRead:
		if a.N[1] > lastCapability {
			return 0, syscall.EINVAL
		}
		return 1, 0
	case prGetDumpable:
		return 1, 0
	case prGetTimerslack:
		return defaultTimeSlack, 0
	case prSetNoNewPrivs:
		k.proc.mu.Lock()
		k.proc.noNew = true
		k.proc.mu.Unlock()
		return 0, 0
	case prGetNoNewPrivs:
		k.proc.mu.Lock()
		defer k.proc.mu.Unlock()
		if k.proc.noNew {
			return 1, 0
		}
		return 0, 0
	case prSetKeepcaps:
		if a.N[1] > 1 {
			return 0, syscall.EINVAL
		}
		k.proc.mu.Lock()
		k.proc.keepCaps = a.N[1]
		k.proc.mu.Unlock()
		return 0, 0
	case prGetKeepcaps:
		k.proc.mu.Lock()
		defer k.proc.mu.Unlock()
		return k.proc.keepCaps, 0
	case prSetPdeathsig, prSetDumpable, prGetSeccomp, prCapbsetDrop, prSetTimerslack,
		prSetSubreaper, prSetTHPDisable, prGetTHPDisable, prCapAmbient:
		return 0, 0
	case prGetPdeathsig, prGetSubreaper:
		p, e := user[int32](&a, 1)
		if e != 0 {
			return 0, e
		}
		*p = 0
		return 0, 0
	}
	return 0, syscall.EINVAL
}

// capHeader is struct __user_cap_header_struct.
type capHeader struct {
	version uint32
	pid     int32
}

// capData is struct __user_cap_data_struct. The inheritable set, its last word, is empty: no program
// is executed that could inherit it.
type capData struct{ effective, permitted, _ uint32 }

// These are the versions of capHeader: _LINUX_CAPABILITY_VERSION_*.
const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

// sysCapget is capget(2): all capabilities.
func sysCapget(k *Kernel, a Args) (uintptr, syscall.Errno) {
	h, e := user[capHeader](&a, 0)
	if e != 0 {
		return 0, e
	}
	words := 2
	switch h.version {
	case capVersion1:
		words = 1
	case capVersion2, capVersion3:
	default:
		h.version = capVersion3
		if a.Pointer(1) == nil {
			return 0, 0
		}
		return 0, syscall.EINVAL
	}
	if h.pid != 0 && h.pid != pid {
		return 0, syscall.ESRCH
	}
	if a.Pointer(1) == nil {
		return 0, 0
	}
	d, e := userSlice[capData](&a, 1, words)
	if e != 0 {
		return 0, e
	}
	d[0] = capData{effective: ^uint32(0), permitted: ^uint32(0)}
	if words > 1 {
		const high = 1<<(lastCapability-31) - 1
		d[1] = capData{effective: high, permitted: high}
	}
	return 0, 0
}

// sysGetpriority is getpriority(2); the system call returns 20 minus the nice
// value.
func sysGetpriority(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) < syscall.PRIO_PROCESS || a.Int(0) > syscall.PRIO_USER {
		return 0, syscall.EINVAL
	}
	if id := a.Int(1); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	k.proc.mu.Lock()
	defer k.proc.mu.Unlock()
	return uintptr(20 - k.proc.nice), 0
}

// sysSetpriority is setpriority(2); the value is recorded and has no effect.
func sysSetpriority(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) < syscall.PRIO_PROCESS || a.Int(0) > syscall.PRIO_USER {
		return 0, syscall.EINVAL
	}
	if id := a.Int(1); id != 0 && id != pid {
		return 0, syscall.ESRCH
	}
	k.proc.mu.Lock()
	defer k.proc.mu.Unlock()
	k.proc.nice = min(max(a.Int(2), -20), 19)
	return 0, 0
}

// noProcess is a handler for calls that would start another process.
func noProcess(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if !k.noProcessLogged.Swap(true) {
		k.Log("this machine runs one process: starting another is not possible (ENOSYS)")
	}
	return 0, syscall.ENOSYS
}

// interrupted is restart_syscall(2) for a program: it has nothing to restart.
func interrupted(*Kernel, Args) (uintptr, syscall.Errno) { return 0, syscall.EINTR }

// sysReboot is reboot(2): power off and restart end the machine.
func sysReboot(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const magic1 = 0xfee1dead
	magic2 := []uint32{672274793, 85072278, 369367448, 537993216}
	if uint32(a.N[0]) != magic1 || !slices.Contains(magic2, uint32(a.N[1])) {
		return 0, syscall.EINVAL
	}
	switch uint32(a.N[2]) {
	case syscall.LINUX_REBOOT_CMD_CAD_OFF, syscall.LINUX_REBOOT_CMD_CAD_ON:
		return 0, 0
	case syscall.LINUX_REBOOT_CMD_RESTART, syscall.LINUX_REBOOT_CMD_HALT, syscall.LINUX_REBOOT_CMD_POWER_OFF:
		sysSync(k, a)
		k.m.Exit(0)
	}
	return 0, syscall.EINVAL
}

// sysSyslog is syslog(2): an empty log.
func sysSyslog(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) < 0 || a.Int(0) > 10 {
		return 0, syscall.EINVAL
	}
	return 0, 0
}
