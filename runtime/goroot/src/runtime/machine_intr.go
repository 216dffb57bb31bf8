//go:build tamago

package runtime

import "unsafe"

// Descriptor tables, the local APIC, interrupts of devices. Intel SDM volume 3,
// chapters 6 (interrupts) and 10 (APIC).

const (
	msrAPICBase = 0x1b
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
	apicLVTTimer  = 0x320
	apicLVT0      = 0x350
	apicTimerInit = 0x380
	apicTimerNow  = 0x390
	apicTimerDiv  = 0x3e0

	vectorNMI      = 2
	vectorTimer    = 32
	vectorDevice   = 33 // the first for devices
	vectorSpurious = 127
	numVectors     = 128
	numDevices     = vectorSpurious - vectorDevice

	apicPhys = 0xfee00000
)

func apicRead(reg uintptr) uint32     { return load32(directMap + apicPhys + reg) }
func apicWrite(reg uintptr, v uint32) { store32(directMap+apicPhys+reg, v) }

// machTablesInit loads GDT, TSS and IDT. Every vector runs on a stack of the
// TSS: no fault depends on the stack of the thread that caused it.
func machTablesInit(early uintptr) {
	gdt, tss, idt := early+earlyGDT, early+earlyTSS, early+earlyIDT
	store64(tss+36, uint64(early+earlyTrap))  // IST1
	store64(tss+44, uint64(early+earlyFault)) // IST2
	*(*uint16)(unsafe.Pointer(tss + 102)) = 104
	base := uint64(tss)
	store64(gdt+24, 103|base&0xffffff<<16|0x89<<40|base>>24&0xff<<56)
	store64(gdt+32, base>>32)
	machTable(early, 39, gdt)
	lgdt(early + earlyInfo - 16)
	ltr(24)

	for v := uintptr(0); v < numVectors; v++ {
		ist := uint64(1)
		if v == 8 || v == vectorNMI {
			ist = 2
		}
		pc := uint64(abiFuncPC(machVectors) + v*8)
		store64(idt+v*16, pc&0xffff|8<<16|ist<<32|0x8e<<40|pc>>16&0xffff<<48)
		store64(idt+v*16+8, pc>>32)
	}
	machTable(early, numVectors*16-1, idt)
	lidt(early + earlyInfo - 16)
}

// machTable builds a pseudo-descriptor in the 16 bytes before earlyInfo.
func machTable(early uintptr, limit uint16, base uintptr) {
	p := early + earlyInfo - 16
	*(*uint16)(unsafe.Pointer(p)) = limit
	store32(p+2, uint32(base))
	store32(p+6, uint32(base>>32))
}

// machAPICInit silences the PICs and enables the local APIC.
func machAPICInit() {
	outb(0x21, 0xff)
	outb(0xa1, 0xff)
	if base := rdmsr(msrAPICBase); base&pteAddr != apicPhys || base&(1<<11) == 0 {
		wrmsr(msrAPICBase, apicPhys|base&(1<<8)|1<<11)
	}
	apicWrite(apicSVR, 1<<8|vectorSpurious)
	apicWrite(apicTPR, 0)
	apicWrite(apicLVT0, 1<<16) // no interrupts of the PICs
	apicWrite(apicLVTTimer, vectorTimer)
}

// machTrap serves the exception or interrupt that the current thread took.
//
//go:nowritebarrierrec
func machTrap() {
	t := thisCPU().cur
	switch v := t.trap; {
	case v == vectorTimer:
		apicWrite(apicEOI, 0)
		mach.sched.tick()
	case v == vectorSpurious:
	case v >= vectorDevice:
		apicWrite(apicEOI, 0)
		mach.poll.interrupt(int(v - vectorDevice))
	case v == 14 && mach.mem.pageFault(uintptr(t.cr2), uintptr(t.trapErr)):
		return // nothing else can have changed
	case v == vectorNMI:
		sendProcessSignal(_SIGQUIT)
	case v == 8:
		machFault("double fault", t)
	default:
		faultSignal(t)
	}
	machLeave()
}

// machLeave delivers signals and picks the thread to go on with.
func machLeave() {
	s := &mach.sched
	for {
		s.pick()
		t := thisCPU().cur
		if t.pending&^t.mask == 0 || t == thisCPU().idle {
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
	if vector == 14 && mach.mem.pageFault(cr2, code) {
		return
	}
	if vector == vectorNMI {
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
	machExit(125)
}

// machFault ends the machine because of a fault that no signal can report.
func machFault(what string, t *machThread) {
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
	machExit(125)
}
