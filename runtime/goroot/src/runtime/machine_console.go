//go:build tamago

package runtime

import "unsafe"

// The console is the first serial port (a 16550 at I/O port 0x3f8), and the
// ways to end a virtual machine.

const (
	comData = 0x3f8
	comIER  = 0x3f9
	comFCR  = 0x3fa
	comLCR  = 0x3fb
	comMCR  = 0x3fc
	comLSR  = 0x3fd

	comFIFO = 16 // bytes that the transmitter takes at once
)

func conInit() {
	outb(comIER, 0)
	outb(comLCR, 3) // 8 bits, no parity
	outb(comFCR, 7) // FIFOs on and empty
	outb(comMCR, 3|8)
	// Input is not lost any more, and a virtio console can take the streams over (runtime/wiring/streams).
	const ready = "ready streams\n"
	tellVMM(uintptr(unsafe.Pointer(unsafe.StringData(ready))), uintptr(len(ready)))
}

// conWrite sends n bytes. The transmitter is nearly always ready: the VMM
// takes bytes as fast as they come, and stops taking them when its reader is
// slow.
func conWrite(p, n uintptr) {
	for n > 0 {
		for inb(comLSR)&0x20 == 0 {
		}
		k := min(n, comFIFO)
		outsb(comData, p, k)
		p += k
		n -= k
	}
}

// conTryWrite sends what the transmitter takes now, up to 1 KiB, so that the
// other CPUs need not wait for a slow console. It returns how much that was.
func conTryWrite(p, n uintptr) uintptr {
	sent := uintptr(0)
	for sent < min(n, 1<<10) && inb(comLSR)&0x20 != 0 {
		k := min(n-sent, comFIFO)
		outsb(comData, p+sent, k)
		sent += k
	}
	return sent
}

func conString(s string) { conWrite(uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s))) }

func conHex(v uint64) {
	conString("0x")
	for shift := 60; shift >= 0; shift -= 4 {
		if v>>uint(shift) != 0 || shift == 0 {
			conByte("0123456789abcdef"[v>>uint(shift)&15])
		}
	}
}

func conDec(v uint64) {
	if v >= 10 {
		conDec(v / 10)
	}
	conByte(byte('0' + v%10))
}

func conByte(c byte) { conWrite(uintptr(unsafe.Pointer(&c)), 1) }

// conRead takes what has come in, at most n bytes.
func conRead(p, n uintptr) uintptr {
	got := uintptr(0)
	for got < n && inb(comLSR)&1 != 0 {
		*(*byte)(unsafe.Pointer(p + got)) = inb(comData)
		got++
	}
	return got
}

// machLogOnce prints a line the first time.
func machLogOnce(done *bool, line string) {
	if !*done {
		*done = true
		conString(line)
	}
}

// Ports of QEMU's devices for guests that want to tell something.
const (
	exitPort    = 0xf4  // isa-debug-exit
	controlPort = 0xe9  // isa-debugcon
	panicPort   = 0x505 // pvpanic
)

// tellVMM writes a line to the debug console, if there is one.
func tellVMM(line, n uintptr) {
	if inb(controlPort) == controlPort {
		outsb(controlPort, line, n)
	}
}

// machCrash tells the VMM that the program, or the machine half, has crashed, if
// it listens (QEMU's pvpanic device, docs/specs/pvpanic): it may then stop the
// machine to keep its memory. t is the thread that crashed, nil if that is not
// known. The machine's end follows.
func machCrash(t *machThread, sig uint32) {
	mach.sig.crashed, mach.sig.fatal = t, sig
	const panicked, absent = 1, 1 << 7 // no device: all ones
	if inb(panicPort)&(panicked|absent) == panicked {
		outb(panicPort, panicked)
	}
}

// machExit ends the machine with the program's exit status: it tells the
// status to a VMM that listens (a line "exit N" on the debug console), then
// powers off in the best way that there is.
func machExit(status int) {
	line := [...]byte{'e', 'x', 'i', 't', ' ', byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10), '\n'}
	tellVMM(uintptr(unsafe.Pointer(&line)), unsafe.Sizeof(line))
	if inl(exitPort) == 0 {
		outl(exitPort, uint32(status))
	}
	h := &mach.hooks
	if off := &h.powerOff; off.Port != 0 {
		outw(off.Port, off.Value)
	}
	if off := &h.powerOff; off.Register != 0 {
		*(*byte)(unsafe.Pointer(off.Register)) = off.RegisterValue
	}
	// No power switch: reset by the keyboard controller, or by a triple
	// fault. A VMM started with -no-reboot ends then.
	outb(0x64, 0xfe)
	for i := 0; i < 1000; i++ {
		inb(0x80)
	}
	machTable(mach.early+directMap, 0, 0)
	lidt(mach.early + directMap + earlyInfo - 16)
	breakpoint()
	machHalt()
}
