package kernel

import (
	"bytes"
	"sync"
	"sync/atomic"
	"syscall"
)

// console is the file of descriptors 0, 1 and 2: a terminal (termios(3), canonical mode
// first) if Options.Terminal is set, otherwise a plain stream of bytes. Then descriptor 2 is a
// standardError.
type console struct {
	k     *Kernel
	queue WaitQueue

	// outMu makes writes atomic, errMu those to standard error once it is a stream of its own.
	outMu, errMu sync.Mutex
	// streams are set by ConnectConsole.
	streams atomic.Pointer[consoleStreams]

	mu   sync.Mutex
	tio  termios
	win  winsize
	line []byte // being edited, not readable yet
	// ready has the input that can be read: one element per line in canonical mode; an
	// empty one is an end of file.
	ready  []inputChunk
	hangup bool
	// drained is signalled when a read has removed something from ready.
	drained sync.Cond
}

type inputChunk struct {
	data []byte
	raw  bool
}

// inputMax bounds unread input, as N_TTY_BUF_SIZE does for a line.
const inputMax = 64 << 10

func (c *console) init(k *Kernel) {
	c.k = k
	c.drained.L = &c.mu
	c.tio = defaultTermios()
	c.win = winsize{rows: k.opt.Rows, cols: k.opt.Columns}
	if c.win.rows == 0 || c.win.cols == 0 {
		c.win = winsize{rows: 24, cols: 80}
	}
}

// ConsoleInput takes bytes that were typed.
func (k *Kernel) ConsoleInput(p []byte) {
	c := &k.console
	var signals []syscall.Signal
	c.mu.Lock()
	if !k.opt.Terminal {
		c.deliver(p, true)
	} else {
		for _, b := range p {
			if s := c.typed(b); s != 0 {
				signals = append(signals, s)
			}
		}
	}
	c.mu.Unlock()
	c.queue.Notify(EventIn)
	for _, s := range signals {
		if k.opt.Interrupt != nil {
			k.opt.Interrupt(s)
		}
	}
}

// ConsoleHangup says that no more input will come: reads return the end of the file.
func (k *Kernel) ConsoleHangup() {
	k.console.mu.Lock()
	k.console.hangup = true
	k.console.mu.Unlock()
	k.console.queue.Notify(EventIn | EventHup)
}

// ConsoleDrain waits until half of the input buffer is free. It is to be called after each
// ConsoleInput, which drops what does not fit.
func (k *Kernel) ConsoleDrain() {
	c := &k.console
	c.mu.Lock()
	for c.unread() > inputMax/2 {
		c.drained.Wait()
	}
	c.mu.Unlock()
}

// unread returns how many bytes can be read. mu is held.
func (c *console) unread() int {
	total := 0
	for _, r := range c.ready {
		total += len(r.data)
	}
	return total
}

// deliver makes p readable; raw bytes are appended to those before them. mu is held.
func (c *console) deliver(p []byte, raw bool) {
	p = p[:min(len(p), max(inputMax-c.unread(), 0))]
	if n := len(c.ready); raw && n > 0 && c.ready[n-1].raw {
		c.ready[n-1].data = append(c.ready[n-1].data, p...)
		return
	}
	if raw && len(p) == 0 {
		return
	}
	c.ready = append(c.ready, inputChunk{data: append([]byte(nil), p...), raw: raw})
}

// typed handles one byte from the keyboard and returns a signal to raise. mu is
// held.
func (c *console) typed(b byte) syscall.Signal {
	t := &c.tio
	switch {
	case b == '\r' && t.iflag&igncr != 0:
		return 0
	case b == '\r' && t.iflag&icrnl != 0:
		b = '\n'
	case b == '\n' && t.iflag&inlcr != 0:
		b = '\r'
	}
	if t.lflag&isig != 0 && (b == t.cc[vintr] || b == t.cc[vquit]) {
		c.line = nil
		c.echoByte(b)
		if b == t.cc[vquit] {
			return syscall.SIGQUIT
		}
		return syscall.SIGINT
	}
	if t.lflag&icanon == 0 {
		c.echoByte(b)
		c.deliver([]byte{b}, true)
		return 0
	}
	c.edit(b)
	return 0
}

// edit handles a byte in canonical mode: lines, erase, kill, end of file. mu is held.
func (c *console) edit(b byte) {
	t := &c.tio
	switch b {
	case '\n':
		c.echoByte(b)
		c.deliver(append(c.line, b), false)
		c.line = nil
	case t.cc[veof]:
		c.deliver(c.line, false)
		c.line = nil
	case t.cc[verase], '\b':
		c.erase(1)
	case t.cc[vkill]:
		c.erase(len(c.line))
	case t.cc[vwerase]:
		n := len(bytes.TrimRight(c.line, " "))
		n = bytes.LastIndexByte(c.line[:n], ' ') + 1
		c.erase(len(c.line) - n)
	default:
		if len(c.line) < 4095 { // termios(3): a line has at most 4096 bytes
			c.line = append(c.line, b)
			c.echoByte(b)
		}
	}
}

// erase removes n bytes of the line, and whole UTF-8 sequences. mu is held.
func (c *console) erase(n int) {
	for ; n > 0 && len(c.line) > 0; n-- {
		last := len(c.line) - 1
		for last > 0 && c.line[last]&0xc0 == 0x80 {
			last--
		}
		c.line = c.line[:last]
		if c.tio.lflag&echo != 0 {
			c.put([]byte("\b \b"))
		}
	}
}

// echoByte echoes b; control characters as ^X. mu is held.
func (c *console) echoByte(b byte) {
	switch {
	case c.tio.lflag&echo == 0:
	case b == '\n':
		c.put(crlf)
	case b < ' ' && b != '\t':
		c.put([]byte{'^', b + '@'})
	default:
		c.put([]byte{b})
	}
}

func (c *console) flush() {
	c.mu.Lock()
	c.line, c.ready = nil, nil
	c.drained.Signal()
	c.mu.Unlock()
}

func (c *console) Read(p []byte, _ int64) (int, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 {
		if c.hangup {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	if len(p) == 0 {
		return 0, 0
	}
	r := &c.ready[0]
	n := copy(p, r.data)
	if r.data = r.data[n:]; len(r.data) == 0 {
		c.ready = c.ready[1:]
	}
	c.drained.Signal()
	return n, 0
}

var crlf = []byte("\r\n")

func (c *console) Write(p []byte, _ int64) (int, syscall.Errno) { return c.emit(p, false) }

// emit writes p to the console, or to standard error where that is a stream of its own.
func (c *console) emit(p []byte, toErr bool) (int, syscall.Errno) {
	put := c.put
	if s := c.streams.Load(); toErr && s != nil && !c.k.opt.Terminal {
		c.errMu.Lock()
		defer c.errMu.Unlock()
		put = s.err
	} else {
		c.outMu.Lock()
		defer c.outMu.Unlock()
	}
	if !c.k.opt.Terminal || c.oflag()&(opost|onlcr) != opost|onlcr {
		return written(len(p), put(p))
	}
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if i > 0 {
			put(p[:i])
		}
		if e := put(crlf); e != 0 {
			return 0, e
		}
		p = p[i+1:]
	}
	if len(p) > 0 {
		return written(n, put(p))
	}
	return n, 0
}

// written is the result of a write of n bytes.
func written(n int, e syscall.Errno) (int, syscall.Errno) {
	if e != 0 {
		return 0, e
	}
	return n, 0
}

// put writes p as it is.
func (c *console) put(p []byte) syscall.Errno {
	if s := c.streams.Load(); s != nil {
		return s.out(p)
	}
	c.k.m.ConsoleWrite(p)
	return 0
}

func (c *console) oflag() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tio.oflag
}

func (c *console) Readiness() Events {
	c.mu.Lock()
	defer c.mu.Unlock()
	ev := EventOut
	if len(c.ready) > 0 || c.hangup {
		ev |= EventIn
	}
	if c.hangup && !c.k.opt.Terminal {
		ev |= EventHup
	}
	return ev
}

func (c *console) Queue() *WaitQueue { return &c.queue }
func (c *console) Release()          {}

func (c *console) Stat(st *syscall.Stat_t) syscall.Errno {
	*st = syscall.Stat_t{Dev: anonDev, Ino: 1, Nlink: 1, Blksize: pageSize}
	if c.k.opt.Terminal {
		st.Mode, st.Rdev = syscall.S_IFCHR|0o620, makedev(5, 1)
	} else {
		st.Mode = syscall.S_IFIFO | 0o600
	}
	return 0
}

func (c *console) fionread(a *Args) (uintptr, syscall.Errno) {
	p, e := user[int32](a, 2)
	if e != 0 {
		return 0, e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*p = int32(c.unread())
	return 0, 0
}
