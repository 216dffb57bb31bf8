package ui

import (
	"os"
	"syscall"
	"unsafe"
)

// ioctl calls ioctl_tty(2). It needs unsafe because requests take pointers, and package syscall
// has no function for them.
func ioctl[T any](f *os.File, request uintptr, arg *T) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return errno
	}
	return nil
}

// IsTerminal reports whether f is a terminal (tcgetattr(3) succeeds).
func IsTerminal(f *os.File) bool {
	var t syscall.Termios
	return ioctl(f, syscall.TCGETS, &t) == nil
}

// InForeground reports whether this process may use the terminal f: a background job must neither
// read it nor change its state.
func InForeground(f *os.File) bool {
	var group int32
	return ioctl(f, syscall.TIOCGPGRP, &group) == nil && int(group) == syscall.Getpgrp()
}

// tcsetsw (TCSETSW) sets the state after all output is transmitted, asm-generic/ioctls.h.
const tcsetsw = 0x5403

// Indexes of control characters, termios(3).
const (
	vquit = 1
	vsusp = 10
)

// PassKeys sets the terminal's state for a guest that is a terminal of its own: each key is passed
// on at once and not echoed. Only Ctrl-C keeps its meaning, unless and until signals is called with
// false. restore restores the former state.
func PassKeys(f *os.File) (signals func(bool), restore func(), err error) {
	var old syscall.Termios
	if err := ioctl(f, syscall.TCGETS, &old); err != nil {
		return nil, nil, err
	}
	t := old
	t.Iflag &^= syscall.ICRNL | syscall.INLCR | syscall.IGNCR | syscall.IXON | syscall.ISTRIP
	t.Lflag &^= syscall.ICANON | syscall.ECHO | syscall.ECHONL | syscall.IEXTEN
	t.Cc[syscall.VMIN], t.Cc[syscall.VTIME] = 1, 0
	t.Cc[vquit], t.Cc[vsusp] = 0, 0 // _POSIX_VDISABLE
	if err := ioctl(f, syscall.TCSETS, &t); err != nil {
		return nil, nil, err
	}
	signals = func(on bool) {
		s := t
		if !on {
			s.Lflag &^= syscall.ISIG
		}
		ioctl(f, syscall.TCSETS, &s)
	}
	return signals, func() { ioctl(f, tcsetsw, &old) }, nil
}

// WindowSize returns the size of a terminal's window in characters.
func WindowSize(f *os.File) (rows, columns int, ok bool) {
	var w struct{ rows, columns, x, y uint16 } // struct winsize, ioctl_tty(2)
	err := ioctl(f, syscall.TIOCGWINSZ, &w)
	return int(w.rows), int(w.columns), err == nil && w.rows != 0 && w.columns != 0
}
