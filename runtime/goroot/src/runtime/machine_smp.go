//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/yolk/boot"
	"unsafe"
)

// Further CPUs. The firmware's tables tell how many there are; each is started
// when a thread is ready and no CPU idles, by INIT and start-up interrupts
// (Intel SDM volume 3, 9.4), and then stays. One CPU at a time is in the
// machine half: what it does there is short.

// machSMP are the CPUs.
type machSMP struct {
	n         int // CPUs of the machine, at least 1
	online    int // those that have been started
	starting  bool
	x2apic    bool
	registers uintptr              // of each CPU's local APIC, without x2APIC
	next      *machCPU             // the one that is being started
	apic      [boot.MaxCPUs]uint32 // their local APIC IDs; the boot CPU is the first
	cpu       [boot.MaxCPUs]*machCPU
}

// cpus returns the CPUs that are online.
func (s *machSMP) cpus() []*machCPU { return s.cpu[:s.online] }

// machSMPInit notes the CPUs that the firmware lists, and writes the code with which
// further ones start.
func machSMPInit(found *boot.CPUs) {
	s := &mach.smp
	c := thisCPU()
	c.apic = apicOwnID()
	s.n, s.online = 1, 1
	s.apic[0], s.cpu[0] = c.apic, c
	for _, id := range found.APIC[:found.N] {
		if id == c.apic || s.n == len(s.apic) || id > 254 && !s.x2apic {
			continue
		}
		s.apic[s.n] = id
		s.n++
	}
	if found.Left > 0 {
		conString("yolk: the machine has more than ")
		conDec(boot.MaxCPUs)
		conString(" CPUs; the others stay off\n")
	}
	if s.n > 1 {
		writeTrampoline()
	}
}

// enter begins a visit to the machine half: it takes the lock. While it waits it
// is at no thread's memory, so flushTLB needs no answer from it.
func (c *machCPU) enter() {
	c.user = 0
	for !atomic.Cas(&mach.lock, 0, 1) {
		for atomic.Load(&mach.lock) != 0 {
			machPause()
		}
	}
	c.kicked = 0
	if c.flush != 0 {
		c.flush = 0
		loadCR3(readCR3())
	}
}

// kick makes another CPU visit the machine half, once for all reasons until it
// comes.
func (c *machCPU) kick() {
	if c.kicked == 0 {
		c.kicked = 1
		apicSend(c.apic, vectorKick)
	}
}

// flushTLB makes sure that no other CPU uses translations from before: one that
// runs a thread is interrupted, one that is in the machine half or idles
// flushes before it touches a thread's memory again. When it returns, the others
// idle or wait for the lock.
func (s *machSMP) flushTLB() {
	here := thisCPU()
	for _, c := range s.cpus() {
		if c == here {
			continue
		}
		atomic.Xchg(&c.flush, 1) // before user is read
		if c.user == 0 {
			continue
		}
		c.kick()
		for atomic.Load(&c.user) != 0 {
			machPause()
		}
	}
}

// trampolineAt is where a CPU starts, in real mode: a page below 1 MiB, which
// bootFrames leaves alone.
const trampolineAt = 0x8000

// Offsets in the trampoline's page, behind its code.
const (
	trampolineGDT   = 0xfa0
	trampolineTable = 0xfe0 // the pseudo-descriptor of that
	trampolineRoot  = 0xfe8 // CR3: bootTables takes the root below 4 GiB
	trampolineNext  = 0xff0 // where it goes on
)

// writeTrampoline writes the page where further CPUs start, which is read-only then. They
// go to the process's page tables, in which it is mapped as long as one starts.
func writeTrampoline() {
	page := uintptr(trampolineAt) + directMap
	begin, end := abiFuncPC(machTrampoline), abiFuncPC(machTrampolineEnd)
	memmove(unsafe.Pointer(page), unsafe.Pointer(begin), end-begin)
	memmove(unsafe.Pointer(page+trampolineGDT), unsafe.Pointer(mach.early+directMap+earlyGDT), sharedGDT)
	store32(page+trampolineTable, sharedGDT-1)
	store32(page+trampolineTable+2, trampolineAt+trampolineGDT)
	store32(page+trampolineRoot, uint32(mach.mem.root-directMap))
	store64(page+trampolineNext, uint64(abiFuncPC(machAPEntry)))
	mach.mem.protectDirect(trampolineAt, trampolineAt+machPage)
}

// sharedGDT is how many bytes of the GDT are the same on all CPUs: null, code, data.
const sharedGDT = 24

// startNext starts one more CPU, unless one is on its way.
func (s *machSMP) startNext() {
	if s.starting || s.online == s.n {
		return
	}
	const from, size = earlyGDT, earlyEnd - earlyGDT // no page tables of its own
	p := mach.mem.contiguous(size)
	if p == 0 {
		return // the CPUs there are have to do
	}
	s.starting = true
	c := newCPU(p + directMap - from)
	c.index = s.online
	c.apic = s.apic[s.online]
	memmove(unsafe.Pointer(c.base+earlyGDT), unsafe.Pointer(mach.early+directMap+earlyGDT), sharedGDT)
	c.idle = newThread()
	c.idle.id = 0
	c.cur = c.idle
	c.guardStacks()
	c.setG()

	s.next = c
	// Only while it starts: below what programs can map, and executable.
	*mach.mem.entry(trampolineAt, true) = trampolineAt | ptePresent | pteBoot
	const initIPI, startIPI = 0x4500, 0x4600
	apicSend(c.apic, initIPI)
	apicSend(c.apic, startIPI|trampolineAt>>12)
}

// machAPBoot is where a started CPU comes out of machAPEntry, on its private
// stack, under the process's page tables.
//
//go:nowritebarrierrec
func machAPBoot(c *machCPU) {
	c.load()
	machTablesInit(c, mach.early+directMap+earlyIDT)
	c.enter()
	apicCPUInit() // registers of devices are touched under the lock: see yolk.OutLongAlone
	s := &mach.smp
	*mach.mem.entry(trampolineAt, false) = 0
	invlpg(trampolineAt)
	c.protectTables()
	s.cpu[s.online] = c
	s.online++
	s.starting = false
	mach.sched.cpus.Runs(c.index, false)
	c.since = machNow()
	c.profileNext = c.since + mach.timer.profile
	machLeave()
	if _, ok := mach.sched.cpus.Victim(); ok { // there is work for yet another
		s.startNext()
	}
	machResume()
}
