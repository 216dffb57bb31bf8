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
	n        int // CPUs of the machine, at least 1
	online   int // those that have been started
	starting bool
	x2apic   bool
	apic     [boot.MaxCPUs]uint32 // their local APIC IDs; the boot CPU is the first
	cpu      [boot.MaxCPUs]*machCPU
}

// cpus returns the CPUs that are online.
func (s *machSMP) cpus() []*machCPU { return s.cpu[:s.online] }

// machSMPInit finds the machine's CPUs.
func machSMPInit() {
	s := &mach.smp
	c := thisCPU()
	c.apic = apicOwnID()
	s.n, s.online = 1, 1
	s.apic[0], s.cpu[0] = c.apic, c
	var found boot.CPUs
	boot.FindCPUs(&found, uint64(mach.rsdp), bootMemory)
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
	c.root = mach.mem.root - directMap
	// The first three descriptors are the same everywhere.
	memmove(unsafe.Pointer(c.base+earlyGDT), unsafe.Pointer(mach.early+directMap+earlyGDT), 24)
	c.idle = newThread()
	c.idle.id = 0
	c.cur = c.idle
	c.guardStacks()

	page := uintptr(trampolineAt) + directMap
	begin, end := abiFuncPC(machTrampoline), abiFuncPC(machTrampolineEnd)
	memmove(unsafe.Pointer(page), unsafe.Pointer(begin), end-begin)
	// The boot CPU's early tables map the first 4 GiB at 0 too; its GDT has
	// the code segment.
	store32(page+0xfe0, 0x27)
	store32(page+0xfe2, uint32(mach.early+earlyGDT))
	store32(page+0xfe8, uint32(mach.early))
	store64(page+0xff0, uint64(abiFuncPC(machAPEntry)))
	store64(page+0xff8, uint64(uintptr(unsafe.Pointer(c))))
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
