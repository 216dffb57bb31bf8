package unixsock

import (
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// received is what came with the bytes of a receive.
type received struct {
	n       int
	flags   int // msg_flags
	from    *socket
	rights  []*kernel.Description
	cred    syscall.Ucred
	hasCred bool
	stamps  solsocket.Stamps // of what SO_TIMESTAMP asks for
	time    int64            // see message; 0: no stamps are wanted
}

// discardRights drops descriptors that the caller cannot receive, as read(2) does.
func (r *received) discardRights() {
	for _, d := range r.rights {
		d.DecRef()
	}
	r.rights = nil
}

// Receive implements kernel.Socket. The caller owns the references in m.Rights.
func (s *socket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		if s.typ == syscall.SOCK_STREAM {
			return 0, syscall.EINVAL
		}
		return 0, syscall.EOPNOTSUPP
	}
	r, e := s.receive(span{many: m.Buffers}, flags)
	m.Flags, m.AddrLen, m.ControlLen, m.Rights = r.flags, 0, 0, r.rights
	if e != 0 {
		return 0, e
	}
	s.describe(m, &r)
	s.putQueued(m)
	return r.n, 0
}

// describe fills in the sender's name and credentials.
func (s *socket) describe(m *kernel.Message, r *received) {
	if r.from == nil {
		return
	}
	s.family.mu.Lock()
	name := r.from.name // never changes once it is set
	s.family.mu.Unlock()
	if m.Addr != nil && name != nil { // an unnamed sender has no address at all
		m.AddrLen = formatAddr(m.Addr, name)
	}
	if r.time != 0 {
		r.stamps.Put(m, r.time)
	}
	if r.hasCred {
		putCredentials(m, r.cred)
	}
}

// putQueued writes what SO_INQ asks for, how many bytes are left.
func (s *socket) putQueued(m *kernel.Message) {
	s.family.mu.Lock()
	on, n := s.tellsQueued, 0
	if on {
		n = s.waiting()
	}
	s.family.mu.Unlock()
	if on {
		b := [4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
		solsocket.PutControl(m, syscall.SOL_SOCKET, solsocket.Inq, b[:])
	}
}

func (s *socket) receive(v span, flags int) (received, syscall.Errno) {
	if s.typ == syscall.SOCK_STREAM {
		return s.receiveStream(v, flags)
	}
	return s.receivePacket(v, flags)
}

func (s *socket) receiveStream(v span, flags int) (r received, e syscall.Errno) {
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.state != connected {
		return r, syscall.EINVAL
	}
	i, skip := s.peekRun(s.peekOffset(flags))
	if i == len(s.messages) {
		return r, s.emptyStream()
	}
	peek := flags&syscall.MSG_PEEK != 0
	size := v.len()
	if size == 0 { // what comes with the first byte is received
		s.takeBeside(&r, s.messages[i], peek)
	}
	for i < len(s.messages) && r.n < size {
		m := s.messages[i]
		if r.from != nil && s.passCred() && m.cred != r.cred {
			break // bytes of two senders do not mix
		}
		k := v.copyFrom(m.data[skip:], r.n)
		r.n += k
		skip = 0
		s.takeBeside(&r, m, peek)
		switch {
		case peek:
			i++
		case k < len(m.data):
			m.data = m.data[k:]
		default:
			s.pop(&drop)
		}
		if r.rights != nil { // descriptors end a read
			break
		}
	}
	if peek {
		s.peekFurther(r.n)
	} else {
		s.peekFurther(-r.n)
	}
	return r, 0
}

// emptyStream returns why there is nothing to read: an error, the end of the stream (0), or
// EAGAIN.
func (s *socket) emptyStream() syscall.Errno {
	if e := s.takeError(); e != 0 {
		return e
	}
	if s.shutdown&shutRead != 0 {
		return 0
	}
	return syscall.EAGAIN
}

func (s *socket) receivePacket(v span, flags int) (r received, e syscall.Errno) {
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.typ == syscall.SOCK_SEQPACKET && s.state != connected {
		return r, syscall.ENOTCONN
	}
	if e := s.takeError(); e != 0 {
		return r, e
	}
	i, skip := s.peekPacket(s.peekOffset(flags))
	if i == len(s.messages) {
		return r, s.emptyPackets(flags)
	}
	m := s.messages[i]
	peek := flags&syscall.MSG_PEEK != 0
	r.n = v.copyFrom(m.data[skip:], 0)
	if peek {
		s.peekFurther(r.n)
	} else {
		s.peekFurther(-len(m.data))
	}
	if r.n < len(m.data)-skip {
		r.flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			r.n = len(m.data) - skip
		}
	}
	s.takeBeside(&r, m, peek)
	s.takeTime(&r, m)
	if !peek {
		s.pop(&drop)
	}
	return r, 0
}

// emptyPackets is emptyStream for packets. As on Linux, a non-blocking receive of a datagram
// returns EAGAIN even after a shutdown, and a blocking one returns.
func (s *socket) emptyPackets(flags int) syscall.Errno {
	if s.shutdown&shutRead == 0 || s.typ == syscall.SOCK_DGRAM && flags&syscall.MSG_DONTWAIT != 0 {
		return syscall.EAGAIN
	}
	return 0
}

// takeBeside moves what came with m's bytes to r; with peek it copies.
func (s *socket) takeBeside(r *received, m *message, peek bool) {
	r.from = m.from
	r.cred, r.hasCred = m.cred, s.passCred()
	if len(m.rights) == 0 {
		return
	}
	if !peek {
		r.rights, m.rights = m.rights, nil
		return
	}
	for _, d := range m.rights {
		d.IncRef()
		r.rights = append(r.rights, d)
	}
}

// takeTime notes when a packet was sent, if SO_TIMESTAMP or one of those beside it is on: SO_TIMESTAMPING alone tells nothing,
// and neither does a stream (__unix_dgram_recvmsg in Linux's net/unix/af_unix.c). One that was sent before has the time of now.
func (s *socket) takeTime(r *received, m *message) {
	if s.options.StampForm() == 0 {
		return
	}
	if m.time == 0 {
		m.time = time.Now().UnixNano()
	}
	r.stamps, r.time = s.options.Stamps(), m.time
}

// pop frees the first message.
func (s *socket) pop(drop *dropped) {
	m := s.messages[0]
	s.messages[0] = nil
	s.messages = s.messages[1:]
	m.free(drop)
	if len(s.messages) <= maxDatagrams {
		s.wakeBlocked()
	}
}
