package unixsock

import (
	"strconv"
	"strings"
)

// Proc is /proc/net/unix, proc_pid_net(5): all sockets that are open.
func (f *Family) Proc() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := []byte("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for s := f.first; s != nil; s = s.next {
		flags, state := "00000000", "01" // SS_UNCONNECTED
		if s.state == listening {
			flags = "00010000" // __SO_ACCEPTCON
		}
		if s.state == connected {
			state = "03" // SS_CONNECTED
		}
		b = append(b, "0000000000000000: 00000002 00000000 "+flags+" 000"+strconv.Itoa(s.typ)+" "+state+" "...)
		ino := strconv.FormatUint(s.ino, 10)
		b = append(append(b, strings.Repeat(" ", max(5-len(ino), 0))...), ino...)
		if name := shown(s.name); name != "" {
			b = append(append(b, ' '), name...)
		}
		b = append(b, '\n')
	}
	return b
}

// shown is a socket's name as /proc/net/unix has it: @ stands for the NUL of an abstract name.
func shown(name []byte) string {
	if p, ok := path(name); ok {
		return p
	}
	return strings.ReplaceAll(string(name), "\x00", "@")
}

// track adds a socket to the list of open ones, untrack removes it. mu is held.
func (f *Family) track(s *socket) {
	if s.next = f.first; s.next != nil {
		s.next.prev = s
	}
	f.first = s
}

func (f *Family) untrack(s *socket) {
	if s.prev != nil {
		s.prev.next = s.next
	} else if f.first == s {
		f.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.next, s.prev = nil, nil
}
