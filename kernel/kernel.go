// Package kernel is the Linux half of yolk: the Linux system calls that a Go program makes,
// for one process, in ordinary Go. Every call is a function call on the caller's goroutine,
// so a handler may block on a channel, allocate and grow the stack. Behaviour follows the man
// pages of section 2; system call numbers and structures are those of linux/amd64.
//
// Start reading at table.go (the handler of each call, and how well it is served), then
// description.go (open files and blocking) and vfs.go (names).
package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// Options describe the image that the kernel starts in.
type Options struct {
	Args     []string // the program's arguments, for /proc/self/cmdline
	Env      []string // the program's environment, for /proc/self/environ
	Path     string   // target of /proc/self/exe; default /init
	Hostname string   // default "yolk"
	// Executable returns the running ELF file for readers of /proc/self/exe; nil: it cannot
	// be read.
	Executable func() []byte
	// Terminal says that the console is a terminal: isatty(3), line editing, echo and CR LF.
	Terminal bool
	// Rows and Columns are the terminal's size; 24 by 80 if 0.
	Rows, Columns uint16
	// Interrupt is called by ConsoleInput when ^C or ^\ is typed.
	Interrupt func(sig syscall.Signal)
}

// Kernel is one instance of the Linux half. It has what Linux keeps for a process
// (descriptors, working directory, limits) and for a machine (file systems, host name,
// sockets).
type Kernel struct {
	m   Machine
	opt Options

	fds fdTable
	vfs vfs
	// filePages counts the data pages of the root file system.
	filePages atomic.Int64
	console   console
	locks     lockTable
	inotify   inotifyState
	maps      mapTable
	signalFDs signalFDs
	mapCalls  *mapCalls // nil until EnableMappers
	sockets   socketRegistry
	timers    timerState
	clockSet  WaitQueue // told when the realtime clock is set
	proc      processState

	epollNested sync.Mutex // held while an epoll instance is added to another

	io                         ioCounts
	load                       load
	kmsg                       kmsgLog
	hostChanges, domainChanges changeCount
	hostMu                     sync.Mutex
	hostname                   string
	domain                     string

	random          randomPool
	noProcessLogged atomic.Bool
	// logged has one bit per system call number whose absence was logged.
	logged [(tableSize + 31) / 32]atomic.Uint32
	// loggedOther is the same for all numbers beyond the table.
	loggedOther atomic.Bool
}

// New makes a kernel on m. It does little: the file system trees are built when they are
// first used.
func New(m Machine, opt Options) *Kernel {
	if opt.Path == "" {
		opt.Path = "/init"
	}
	if opt.Hostname == "" {
		opt.Hostname = "yolk"
	}
	k := &Kernel{m: m, opt: opt, hostname: opt.Hostname, domain: "(none)"}
	k.fds.m = m
	k.proc.init()
	k.console.init(k)
	in := newDescription(k, &k.console, syscall.O_RDWR)
	errs := in
	if !opt.Terminal {
		errs = newDescription(k, &standardError{&k.console}, syscall.O_RDWR)
	}
	for _, d := range [...]*Description{in, in, errs} {
		d.IncRef()
		k.fds.install(d, 0, false)
	}
	in.DecRef()
	if errs != in {
		errs.DecRef()
	}
	return k
}

// Owner returns the owner of new files: the program's file system user and group.
func (k *Kernel) Owner() (uid, gid uint32) { return k.proc.owner() }

// Dispatch serves system call nr. The results are those of syscall.Syscall6: r1 is ^0 if
// errno is not 0; r2 is the third argument, because Linux preserves RDX and there are
// programs that use it (ristretto's mremap).
func (k *Kernel) Dispatch(nr uintptr, a Args) (r1, r2, errno uintptr) {
	if nr < uintptr(len(table)) {
		c := &table[nr]
		if c.handler != nil {
			r, e := c.handler(k, a)
			if e != 0 {
				if e == syscall.ENOMEM {
					k.logNoMemory(nr)
				}
				return ^uintptr(0), 0, uintptr(e)
			}
			return r, a.N[2], 0
		}
		if c.level == levelMachine {
			r, e := k.m.Syscall(nr, a)
			if e != 0 {
				return ^uintptr(0), 0, uintptr(e)
			}
			return r, a.N[2], 0
		}
	}
	k.logMissing(nr)
	return ^uintptr(0), 0, uintptr(syscall.ENOSYS)
}

// logMissing logs, once per call, that nr has no handler: a program that fails for want of a
// call must not fail silently.
func (k *Kernel) logMissing(nr uintptr) {
	name, why := "unknown", "implemented"
	if nr < uintptr(len(table)) {
		bit := uint32(1) << (nr % 32)
		if k.logged[nr/32].Or(bit)&bit != 0 {
			return
		}
		if table[nr].name != "" {
			name = table[nr].name
		}
		if table[nr].level != levelNone {
			why = notLinked
		}
	} else if k.loggedOther.Swap(true) {
		return
	}
	k.Log("system call " + name + " (" + utoa(uint64(nr)) + ") is not " + why + "; it fails")
}

const sysMlock2Number = 325 // package syscall lacks it

// logNoMemory logs, once per call, that the kernel had no memory to serve it: a write that fails with
// ENOMEM looks like a fault of the program. For calls about memory ENOMEM means that an address is
// not mapped, or that the program asks for too much.
func (k *Kernel) logNoMemory(nr uintptr) {
	switch nr {
	case syscall.SYS_MMAP, syscall.SYS_MPROTECT, syscall.SYS_MUNMAP, syscall.SYS_MREMAP, syscall.SYS_MSYNC, syscall.SYS_MINCORE,
		syscall.SYS_MADVISE, syscall.SYS_MLOCK, syscall.SYS_MUNLOCK, syscall.SYS_MLOCKALL, syscall.SYS_MUNLOCKALL, sysMlock2Number:
		return
	}
	bit := uint32(1) << (nr % 32)
	if k.logged[nr/32].Or(bit)&bit != 0 {
		return
	}
	total, free := k.m.Memory()
	k.Log(table[nr].name + " fails with ENOMEM: the kernel has no memory for it (" + utoa(free>>20) + " of " + utoa(total>>20) +
		" MiB of RAM are free); give the machine more")
}

// Log writes one line to the console, marked as the kernel's.
func (k *Kernel) Log(line string) {
	k.kmsg.add(k.m.Nanotime(), line)
	k.console.emit([]byte("yolk: "+line+"\n"), true)
}
