// Package tinyguest makes the smallest images that a VMM boots, for tests of a guest's surroundings:
// a PVH ELF (xen/include/public/elfnote.h) with a few dozen bytes of 32-bit code that writes to I/O
// ports. Start with [Image].
package tinyguest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// I/O ports of a guest.
const (
	serial     = 0x3f8 // data register of the first UART, 16550
	lineStatus = 0x3fd
	statusLine = 0xe9
	debugExit  = 0xf4
	pvpanic    = 0x505
)

// loadAddr is the load address, above the first MiB as for any PVH kernel.
const loadAddr = 0x100000

// Code is guest code under construction.
type Code struct{ b []byte }

// out writes one byte to a port: MOV DX, port; MOV AL, v; OUT DX, AL.
func (c *Code) out(port uint16, v byte) {
	c.b = append(c.b, 0x66, 0xba, byte(port), byte(port>>8), 0xb0, v, 0xee)
}

// Print writes text to the console.
func (c *Code) Print(text string) *Code {
	for i := 0; i < len(text); i++ {
		c.out(serial, text[i])
	}
	return c
}

// Echo waits for a byte of input and prints it.
func (c *Code) Echo() *Code {
	c.b = append(c.b,
		0x66, 0xba, lineStatus&0xff, lineStatus>>8, // MOV DX, line status
		0xec,       // IN AL, DX
		0xa8, 0x01, // TEST AL, 1: data ready
		0x74, 0xfb, // JZ to the IN
		0x66, 0xba, serial&0xff, serial>>8,
		0xec, // IN AL, DX
		0xee, // OUT DX, AL
	)
	return c
}

// EchoAll is Echo for ever.
func (c *Code) EchoAll() *Code {
	start := len(c.b)
	return c.Echo().jump(start)
}

// PrintForever writes text to the console again and again.
func (c *Code) PrintForever(text string) *Code {
	start := len(c.b)
	return c.Print(text).jump(start)
}

// jump goes on at an offset of the code: JMP with a displacement from the next instruction.
func (c *Code) jump(offset int) *Code {
	c.b = append(c.b, 0xe9)
	c.b = binary.LittleEndian.AppendUint32(c.b, uint32(offset-(len(c.b)+4)))
	return c
}

// Exit reports the exit status and ends the machine.
func (c *Code) Exit(status int) *Code {
	line := fmt.Sprintf("exit %d\n", status)
	for i := 0; i < len(line); i++ {
		c.out(statusLine, line[i])
	}
	return c.Off()
}

// Off ends the machine without reporting a status.
func (c *Code) Off() *Code {
	c.out(debugExit, 0)
	return c
}

// Panic reports to the VMM that the guest has crashed (QEMU's pvpanic device).
func (c *Code) Panic() *Code {
	c.out(pvpanic, 1)
	return c
}

// Crash ends the machine with a triple fault: LIDT of an empty table, INT3.
func (c *Code) Crash() *Code {
	const zeros = 0x10000 // free memory, which QEMU clears
	c.b = append(c.b, 0x0f, 0x01, 0x1d)
	c.b = binary.LittleEndian.AppendUint32(c.b, zeros)
	c.b = append(c.b, 0xcc)
	return c
}

// Image returns an ELF file that runs the code and then halts.
func Image(c *Code) []byte {
	code := append(bytes.Clone(c.b), 0xfa, 0xf4, 0xeb, 0xfd) // CLI; HLT; JMP to the HLT
	note := []byte{4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0}
	note = binary.LittleEndian.AppendUint32(note, loadAddr)

	const noteOff = 64 + 2*56
	codeOff := uint64(0x1000) // congruent to the address modulo the page size, as for all segments
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: loadAddr,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h)
	n := uint64(len(code))
	binary.Write(&b, binary.LittleEndian, []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: 5, Off: codeOff, Vaddr: loadAddr, Paddr: loadAddr, Filesz: n, Memsz: n, Align: 0x1000},
		{Type: uint32(elf.PT_NOTE), Flags: 4, Off: noteOff, Filesz: uint64(len(note)), Memsz: uint64(len(note)), Align: 4},
	})
	b.Write(note)
	b.Write(make([]byte, int(codeOff)-b.Len()))
	b.Write(code)
	return b.Bytes()
}
