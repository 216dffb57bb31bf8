package qemu

import (
	"bytes"
	"io"
	"syscall"
)

// EscapedInput is the word of the kernel command line that announces escaped input, for a console
// that is not a terminal. A serial line has no end of file and no signals, so DLE (ASCII 0x10)
// escapes: DLE DLE is the byte itself, DLE 'e' the end of the input, DLE 'i', 't' and 'q' are
// SIGINT, SIGTERM and SIGQUIT. A terminal has control characters for this (termios(3)), and its
// input is not escaped.
const EscapedInput = "yolk.input=escaped"

const dle = 0x10

// These are control characters of a terminal in its initial state, termios(3).
const (
	intr = 0x03 // VINTR
	eof  = 0x04 // VEOF
	quit = 0x1c // VQUIT
)

// signal returns the input that stands for a signal. A terminal has no character for SIGTERM.
func (c *Console) signal(sig syscall.Signal) []byte {
	switch {
	case c.Terminal && sig == syscall.SIGQUIT:
		return []byte{quit}
	case c.Terminal:
		return []byte{intr}
	case sig == syscall.SIGQUIT:
		return []byte{dle, 'q'}
	case sig == syscall.SIGINT:
		return []byte{dle, 'i'}
	}
	return []byte{dle, 't'}
}

// encoder writes input in the console's format.
type encoder struct {
	w        io.Writer
	terminal bool
	last     byte
}

func (c *Console) encoder(w io.Writer) *encoder { return &encoder{w: w, terminal: c.Terminal} }

func (e *encoder) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	e.last = p[len(p)-1]
	q := p
	if !e.terminal {
		q = bytes.ReplaceAll(p, []byte{dle}, []byte{dle, dle})
	}
	if _, err := e.w.Write(q); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end returns the end of the input. On a terminal the first VEOF in the middle of a line only
// submits the line.
func (e *encoder) end() []byte {
	switch {
	case !e.terminal:
		return []byte{dle, 'e'}
	case e.last != 0 && e.last != '\n':
		return []byte{eof, eof}
	}
	return []byte{eof}
}
