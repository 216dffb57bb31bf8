package kernel

import "syscall"

// consoleStreams are where output goes instead of the machine's console, and what is called when keys change their meaning.
type consoleStreams struct {
	out, err func(p []byte) syscall.Errno
	keys     func(signals bool)
}

// ConnectConsole has output go through out from now on, and that of descriptor 2 and of the kernel through
// err, unless the console is a terminal, which takes all. Both write all of p and may wait. EPIPE means that nobody
// reads what is written, as for a pipe. keys is told when the program decides whether keys of the terminal make
// signals (ISIG, termios(3)), before its call returns; it may be nil.
func (k *Kernel) ConnectConsole(out, err func(p []byte) syscall.Errno, keys func(signals bool)) {
	k.console.streams.Store(&consoleStreams{out, err, keys})
}

// DisconnectConsole has output go to the machine's console again.
func (k *Kernel) DisconnectConsole() { k.console.streams.Store(nil) }

// ResizeConsole says how large the terminal's window is, in characters, and reports whether that is new: then
// SIGWINCH is due (ioctl_tty(2)).
func (k *Kernel) ResizeConsole(rows, columns uint16) (changed bool) {
	c := &k.console
	c.mu.Lock()
	defer c.mu.Unlock()
	if !k.opt.Terminal || rows == 0 || columns == 0 || rows == c.win.rows && columns == c.win.cols {
		return false
	}
	c.win = winsize{rows: rows, cols: columns}
	return true
}

// standardError is descriptor 2 where the console is no terminal.
type standardError struct{ *console }

func (s *standardError) Write(p []byte, _ int64) (int, syscall.Errno) { return s.emit(p, true) }

func (s *standardError) Stat(st *syscall.Stat_t) syscall.Errno {
	e := s.console.Stat(st)
	st.Ino = 2
	return e
}
