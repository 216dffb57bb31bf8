//go:build tamago

package runtime

import (
	machine "internal/runtime/yolk"
	"unsafe"
)

// Descriptor tables, the local APIC, interrupts of devices. Intel SDM volume 3,
// chapters 6 (interrupts) and 10 (APIC).

const (
	msrAPICBase = 0x1b
	msrDeadline = 0x6e0
	msrX2APIC   = 0x800
	msrEFER     = 0xc0000080
	msrSTAR     = 0xc0000081
	msrLSTAR    = 0xc0000082
	msrFMASK    = 0xc0000084
	msrFSBase   = 0xc0000100
	msrGSBase   = 0xc0000101

	apicID        = 0x20
	apicTPR       = 0x80
	apicEOI       = 0xb0
	apicSVR       = 0xf0
	apicICR       = 0x300
	apicICRHigh   = 0x310
	apicLVTTimer  = 0x320
	apicLVT0      = 0x350
	apicLVT1      = 0x360
	apicTimerInit = 0x380
	apicTimerNow  = 0x390
	apicTimerDiv  = 0x3e0

	vectorNMI      = 2
	vectorTimer    = machine.VectorTimer
	vectorDevice   = machine.FirstVector
	vectorKick     = machine.VectorKick // from another CPU: threads, signals or the TLB want attention
	vectorSpurious = 127
	numVectors     = machine.NumVectors
	numDevices     = machine.NumDevices

	apicPhys = 0xfee00000
)

// The registers of the local APIC are in memory, or MSRs where the CPU has the
// x2APIC: a hypervisor serves those faster, and IDs have 32 bits.
func apicRead(reg uintptr) uint32 {
	if mach.smp.x2apic {
		return uint32(rdmsr(msrX2APIC + uint32(reg>>4)))
	}
	return load32(mach.smp.registers + reg)
}

func apicWrite(reg uintptr, v uint32) {
	if mach.smp.x2apic {
		wrmsr(msrX2APIC+uint32(reg>>4), uint64(v))
		return
	}
	store32(mach.smp.registers+reg, v)
}

// apicSend writes the interrupt command register.
func apicSend(apic, command uint32) {
	if mach.smp.x2apic {
		wrmsr(msrX2APIC+apicICR>>4, uint64(apic)<<32|uint64(command))
		return
	}
	for apicRead(apicICR)&(1<<12) != 0 { // the one before is being sent
	}
	apicWrite(apicICRHigh, apic<<24)
	apicWrite(apicICR, command)
}

// apicOwnID returns this CPU's local APIC ID.
func apicOwnID() uint32 {
	if mach.smp.x2apic {
		return apicRead(apicID)
	}
	return apicRead(apicID) >> 24
}

// machIDTInit makes the interrupt descriptor table, which all CPUs use. Every
// vector runs on a stack of the CPU's TSS: no fault depends on the stack of the
// thread that caused it.
func machIDTInit(idt uintptr) {
	for v := uintptr(0); v < numVectors; v++ {
		ist := uint64(1)
		if v == 8 || v == vectorNMI {
			ist = 2
		}
		pc := uint64(abiFuncPC(machVectors) + v*8)
		store64(idt+v*16, pc&0xffff|8<<16|ist<<32|0x8e<<40|pc>>16&0xffff<<48)
		store64(idt+v*16+8, pc>>32)
	}
}

// machTablesInit loads the CPU's GDT and TSS, which lie in its area, and the
// IDT.
func machTablesInit(c *machCPU, idt uintptr) {
	early := c.base
	gdt, tss := early+earlyGDT, early+earlyTSS
	c.setTSS()
	*(*uint16)(unsafe.Pointer(tss + 102)) = 104
	base := uint64(tss)
	store64(gdt+24, 103|base&0xffffff<<16|0x89<<40|base>>24&0xff<<56)
	store64(gdt+32, base>>32)
	machTable(early, 39, gdt)
	lgdt(early + earlyInfo - 16)
	ltr(24)
	machTable(early, numVectors*16-1, idt)
	lidt(early + earlyInfo - 16)
}

// setTSS enters the CPU's stacks into its TSS.
func (c *machCPU) setTSS() {
	store64(c.base+earlyTSS+36, uint64(c.trap))  // IST1
	store64(c.base+earlyTSS+44, uint64(c.fault)) // IST2
}

// machTable builds a pseudo-descriptor in the 16 bytes before earlyInfo.
func machTable(early uintptr, limit uint16, base uintptr) {
	p := early + earlyInfo - 16
	*(*uint16)(unsafe.Pointer(p)) = limit
	store32(p+2, uint32(base))
	store32(p+6, uint32(base>>32))
}

// machAPICInit silences the PICs and enables the boot CPU's local APIC.
func machAPICInit() {
	outb(0x21, 0xff)
	outb(0xa1, 0xff)
	_, _, feat, _ := machCPUID(1, 0)
	mach.smp.x2apic = feat>>21&1 != 0
	mach.timer.deadline = feat>>24&1 != 0
	if !mach.smp.x2apic {
		mach.smp.registers = mach.mem.mapIO(apicPhys, machPage, ioBits)
	}
	apicCPUInit()
	apicWrite(apicLVT1, 4<<8) // an NMI comes in here, where no firmware has said so
}

// apicCPUInit enables this CPU's local APIC.
func apicCPUInit() {
	const enable, x2apic = 1 << 11, 1 << 10
	if base := rdmsr(msrAPICBase); base&x2apic == 0 {
		base = apicPhys | enable | base&(1<<8)
		wrmsr(msrAPICBase, base)
		if mach.smp.x2apic { // by way of the xAPIC's mode: SDM 10.12.5
			wrmsr(msrAPICBase, base|x2apic)
		}
	}
	apicWrite(apicSVR, 1<<8|vectorSpurious)
	apicWrite(apicTPR, 0)
	apicWrite(apicLVT0, 1<<16) // no interrupts of the PICs
	lvt := uint32(vectorTimer)
	if mach.timer.deadline {
		lvt |= 2 << 17 // TSC-deadline mode
	}
	apicWrite(apicLVTTimer, lvt)
	apicWrite(apicTimerDiv, 0xb) // divide by 1
	machCPUID(0, 0)              // serialises: the mode holds before a deadline is written
}

// machTrap serves the exception or interrupt that the current thread took.
//
//go:nowritebarrierrec
func machTrap() {
	c := thisCPU()
	c.enter()
	t := c.cur
	c.counts.Traps[t.trap%numVectors]++
	if t.trap >= vectorTimer {
		mach.generation.check()
		machCheckWall(machNow())
	}
	switch v := t.trap; {
	case v == vectorTimer:
		apicWrite(apicEOI, 0)
		mach.sched.tick(c)
	case v == vectorSpurious:
	case v == vectorKick: // enter and machLeave do what it came for
		apicWrite(apicEOI, 0)
	case v >= vectorDevice:
		apicWrite(apicEOI, 0)
		if mach.readers == nil || !readerInterrupt(machine.Device(v-vectorDevice)) {
			mach.poll.interrupt(int(v - vectorDevice))
		}
	case v == 14 && mach.mem.pageFault(uintptr(t.cr2), uintptr(t.trapErr)):
		if t.state == threadRunning && !mach.cache.stores.due {
			return // nothing else can have changed
		}
	case v == vectorNMI:
		sendProcessSignal(_SIGQUIT)
	case v == 8:
		machFault("double fault", t, 125)
	default:
		faultSignal(t)
	}
	machLeave()
}

// machLeave delivers signals and picks the thread to go on with.
func machLeave() {
	s := &mach.sched
	c := thisCPU()
	if mach.cache.stores.due {
		mach.cache.stores.due = false
		mach.poll.interrupt(int(mach.cache.stores.limits.Device))
	}
	if mach.nmi {
		mach.nmi = false
		sendProcessSignal(_SIGQUIT)
	}
	for {
		s.pick(c)
		t := c.cur
		if t.pending&^t.mask == 0 || t == c.idle {
			return
		}
		deliverSignal(t)
	}
}

// machNested serves an exception inside the machine half: memory on demand, or
// a bug.
//
//go:nowritebarrierrec
func machNested(vector, code, cr2, ip, sp uintptr) {
	// Exceptions have one stack: a second one in here would overwrite the first.
	if vector == 14 && !mach.nested {
		mach.nested = true
		served := mach.mem.pageFault(cr2, code)
		mach.nested = false
		if served {
			return
		}
	}
	if vector == vectorNMI {
		mach.nmi = true // machLeave is next
		return
	}
	conString("yolk: fatal: exception ")
	conDec(uint64(vector))
	conString(" in the machine half: code ")
	conHex(uint64(code))
	conString(" address ")
	conHex(uint64(cr2))
	conString(" ip ")
	conHex(uint64(ip))
	conString(" sp ")
	conHex(uint64(sp))
	conString("\n")
	machCrash(nil, _SIGSEGV)
	machExit(125)
}

// machFault ends the machine because of a fault that no signal handler can
// take.
func machFault(what string, t *machThread, status int) {
	conString("yolk: fatal: ")
	conString(what)
	conString(": vector ")
	conDec(t.trap)
	conString(" code ")
	conHex(t.trapErr)
	conString(" address ")
	conHex(t.cr2)
	conString(" ip ")
	conHex(t.ip)
	conString(" sp ")
	conHex(t.sp)
	conString("\n")
	machCrash(t, _SIGSEGV)
	machExit(status)
}
