package wiring

import "syscall"

// comIRQ is the interrupt of the first serial port, comEnable its register for
// what interrupts.
const (
	comIRQ    = 4
	comEnable = 0x3f9
)

// startConsole passes what is typed at the serial port to the kernel. While
// the kernel holds enough that nobody has read, the port is left alone: its
// FIFO fills, and the VMM waits.
func startConsole(words []string) {
	irq := RouteGSI(comIRQ, false)
	if irq == nil {
		return
	}
	in := consoleInput{}
	for _, w := range words {
		in.escaped = in.escaped || w == "yolk.input=escaped"
	}
	outByte(comEnable, 1) // received data
	go func() {
		var buf [64]byte
		for {
			if n := consoleRead(buf[:]); n > 0 {
				in.take(buf[:n])
				Kernel.ConsoleDrain()
				continue
			}
			irq.Wait()
		}
	}()
}

// consoleInput decodes what a console that is no terminal receives
// (yolk.input=escaped): DLE DLE is the byte itself, DLE e the end of the input,
// DLE i, t and q are SIGINT, SIGTERM and SIGQUIT. See tools/internal/qemu.
type consoleInput struct {
	escaped bool
	inside  bool // a DLE has come
}

const dle = 0x10

func (c *consoleInput) take(p []byte) {
	if !c.escaped {
		Kernel.ConsoleInput(p)
		return
	}
	n := 0
	for _, b := range p {
		switch {
		case c.inside:
			c.inside = false
			if b != dle {
				Kernel.ConsoleInput(p[:n])
				n = 0
				c.command(b)
				continue
			}
		case b == dle:
			c.inside = true
			continue
		}
		p[n] = b
		n++
	}
	Kernel.ConsoleInput(p[:n])
}

func (c *consoleInput) command(b byte) {
	switch b {
	case 'e':
		Kernel.ConsoleHangup()
	case 'i':
		raise(syscall.SIGINT)
	case 't':
		raise(syscall.SIGTERM)
	case 'q':
		raise(syscall.SIGQUIT)
	}
}

// ConsoleWrite writes to the serial port, as it is.
func ConsoleWrite(p []byte) { consoleWrite(p) }

// ResizeConsole says how large the terminal's window is, in characters. A change is SIGWINCH for a program that
// wants to know (others ignore it, signal(7)).
func ResizeConsole(rows, columns int) {
	if Kernel.ResizeConsole(uint16(min(rows, 1<<16-1)), uint16(min(columns, 1<<16-1))) && signalWanted(uint32(syscall.SIGWINCH)) {
		kill(syscall.SIGWINCH)
	}
}
