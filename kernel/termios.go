package kernel

import "syscall"

// termios is the kernel's struct termios, and with the speeds termios2
// (ioctl_tty(2)).
type termios struct {
	iflag, oflag, cflag, lflag uint32
	line                       uint8
	cc                         [19]uint8
	ispeed, ospeed             uint32
}

const termiosSize = 36 // size of struct termios, which has no speeds

// These are the flags and indices of termios(3) that the console implements.
const (
	icrnl = 0x100
	inlcr = 0x40
	igncr = 0x80
	ixon  = 0x400
	opost = 0x1
	onlcr = 0x4

	b38400 = 0xf
	cs8    = 0x30
	cread  = 0x80

	isig    = 0x1
	icanon  = 0x2
	echo    = 0x8
	echoe   = 0x10
	echok   = 0x20
	echoctl = 0x200
	echoke  = 0x800
	iexten  = 0x8000

	vintr    = 0
	vquit    = 1
	verase   = 2
	vkill    = 3
	veof     = 4
	vmin     = 6
	vstart   = 8
	vstop    = 9
	vsusp    = 10
	vreprint = 12
	vdiscard = 13
	vwerase  = 14
	vlnext   = 15
)

// del is the DEL character.
const del = 0x7f

// ctrl returns the control character of a letter.
func ctrl(letter byte) uint8 { return letter & 0x1f }

// defaultTermios is the initial state of a Linux terminal.
func defaultTermios() termios {
	return termios{
		iflag: icrnl | ixon, // ixon has no effect
		oflag: opost | onlcr,
		cflag: b38400 | cs8 | cread,
		lflag: isig | icanon | echo | echoe | echok | echoctl | echoke | iexten,
		cc: [19]uint8{
			vintr: ctrl('C'), vquit: ctrl('\\'), verase: del, vkill: ctrl('U'), veof: ctrl('D'), vmin: 1,
			vstart: ctrl('Q'), vstop: ctrl('S'), vsusp: ctrl('Z'), vreprint: ctrl('R'), vdiscard: ctrl('O'),
			vwerase: ctrl('W'), vlnext: ctrl('V'),
		},
		ispeed: 38400, ospeed: 38400,
	}
}

// Requests of ioctl_tty(2).
const (
	tcgets, tcsets, tcsetsw, tcsetsf = 0x5401, 0x5402, 0x5403, 0x5404
	tcgets2                          = 0x802c542a
	tcsets2, tcsetsw2, tcsetsf2      = 0x402c542b, 0x402c542c, 0x402c542d
	tcsbrk, tcxonc, tcflsh           = 0x5409, 0x540a, 0x540b
	tiocsctty, tiocgpgrp, tiocspgrp  = 0x540e, 0x540f, 0x5410
	tiocoutq, tiocnotty, tiocgsid    = 0x5411, 0x5422, 0x5429
	tiocgwinsz, tiocswinsz           = 0x5413, 0x5414
	tcsbrkp                          = 0x5425
)

// Ioctl is ioctl_tty(2) on the console.
func (c *console) Ioctl(req uintptr, a Args) (uintptr, syscall.Errno) {
	if req == fionread {
		return c.fionread(&a)
	}
	if !c.k.opt.Terminal {
		return 0, syscall.ENOTTY
	}
	switch req {
	case tcgets, tcgets2:
		return 0, c.getTermios(req == tcgets2, &a)
	case tcsets, tcsetsw, tcsetsf:
		return 0, c.setTermios(termiosSize, req == tcsetsf, &a)
	case tcsets2, tcsetsw2, tcsetsf2:
		return 0, c.setTermios(termiosSize+8, req == tcsetsf2, &a)
	case tiocgwinsz, tiocswinsz:
		return 0, c.windowSize(req, &a)
	case tcsbrk, tcsbrkp, tcxonc, tiocsctty, tiocspgrp, tiocnotty:
		return 0, 0
	case tcflsh:
		if a.N[2] != 1 { // not only the output queue
			c.flush()
		}
		return 0, 0
	case tiocgpgrp, tiocgsid, tiocoutq:
		p, e := user[int32](&a, 2)
		if e != 0 {
			return 0, e
		}
		*p = 0
		if req != tiocoutq {
			*p = pid
		}
		return 0, 0
	}
	return 0, syscall.ENOTTY
}

func (c *console) getTermios(speeds bool, a *Args) syscall.Errno {
	n := termiosSize
	if speeds {
		n += 8
	}
	p, e := a.Bytes(2, n)
	if e != 0 {
		return e
	}
	c.mu.Lock()
	copy(p, structBytes(&c.tio))
	c.mu.Unlock()
	return 0
}

func (c *console) setTermios(n int, flush bool, a *Args) syscall.Errno {
	p, e := a.Bytes(2, n)
	if e != 0 {
		return e
	}
	c.mu.Lock()
	old := c.tio.lflag
	copy(structBytes(&c.tio), p)
	now := c.tio.lflag
	if old&icanon != 0 && now&icanon == 0 && len(c.line) > 0 {
		c.deliver(c.line, true) // the unfinished line becomes readable
		c.line = nil
	}
	c.mu.Unlock()
	if flush {
		c.flush()
	}
	c.queue.Notify(EventIn)
	if s := c.streams.Load(); s != nil && s.keys != nil && (old^now)&isig != 0 {
		s.keys(now&isig != 0)
	}
	return 0
}

type winsize struct{ rows, cols, x, y uint16 }

func (c *console) windowSize(req uintptr, a *Args) syscall.Errno {
	p, e := user[winsize](a, 2)
	if e != 0 {
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if req == tiocswinsz {
		c.win = *p
	} else {
		*p = c.win
	}
	return 0
}
