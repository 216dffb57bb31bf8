package unixsock

import (
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
)

// outgoing is what is sent with the bytes of a message.
type outgoing struct {
	rights  []*kernel.Description
	cred    syscall.Ucred
	claimed bool // cred is from the sender's control message
}

// Send implements kernel.Socket. It sets m.Rights to nil once it owns their references, which
// may be before a stream has taken all of the bytes; until then the caller owns them.
func (s *socket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	var out outgoing
	var e syscall.Errno
	if out.cred, out.claimed, e = sentCredentials(m.Control, s.family.credentials()); e != 0 {
		return 0, e
	}
	//lint:ignore S1011 one by one: m's own slice must not escape
	for _, r := range m.Rights {
		out.rights = append(out.rights, r)
	}
	n, e := s.send(span{many: m.Buffers}, &out, m.Addr, flags)
	if out.rights == nil {
		m.Rights = nil
	}
	return n, e
}

// send takes bytes of v. It sets out.rights to nil when it has taken them.
func (s *socket) send(v span, out *outgoing, addr []byte, _ int) (int, syscall.Errno) {
	if !out.claimed {
		out.cred = s.family.credentials()
	}
	if s.typ == syscall.SOCK_STREAM {
		return s.sendStream(v, out, len(addr) > 0)
	}
	return s.sendPacket(v, out, addr)
}

// sendStream takes as many bytes as there is room for.
func (s *socket) sendStream(v span, out *outgoing, hasAddr bool) (int, syscall.Errno) {
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	switch {
	case hasAddr && s.state == connected:
		return 0, syscall.EISCONN
	case hasAddr:
		return 0, syscall.EOPNOTSUPP
	case s.peer == nil:
		return 0, syscall.ENOTCONN
	case s.shutdown&shutWrite != 0 || s.peer.closed || s.peer.shutdown&shutRead != 0:
		return 0, syscall.EPIPE
	case len(out.rights) > 0 && !s.peer.passRights() && v.len() > 0:
		return 0, syscall.EPERM
	}
	size := v.len()
	if size == 0 { // no byte to send it with
		drop.add(out.rights)
		out.rights = nil
		return 0, 0
	}
	n := 0
	for n < size && s.charged < s.options.Send {
		n += s.appendStream(v, n, size-n, out)
	}
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	s.peer.queue.Notify(kernel.EventIn)
	return n, 0
}

// Bytes of a stream are kept in messages with a capacity of at least minRun bytes, so that small
// writes share one, and at most maxRun, so that memory is freed while a long write is being
// read.
const (
	minRun = 4096
	maxRun = 32768
	// linuxRun is the most that Linux puts into one message: SKB_MAX_HEAD(0) + UNIX_SKB_FRAGS_SZ of
	// net/unix/af_unix.c, on amd64.
	linuxRun = 36544
)

// appendStream copies up to n bytes of v, from offset off, to the peer and returns how many: at
// least one unless the buffer is full.
func (s *socket) appendStream(v span, off, n int, out *outgoing) int {
	cred := s.credentialsFor(s.peer, out)
	m := s.tailRun(cred, len(out.rights) > 0)
	if m == nil {
		most := maxRun
		if len(out.rights) > 0 { // a read ends behind the message, so it is as long as on Linux
			most = min(linuxRun, s.options.Send/2-64)
		}
		m = &message{data: make([]byte, 0, min(max(n, minRun), most)), from: s, cred: cred, rights: out.rights}
		out.rights = nil
		s.peer.messages = append(s.peer.messages, m)
		m.charge = messageOverhead
		s.charged += messageOverhead
	}
	n = min(n, cap(m.data)-len(m.data), max(s.options.Send-s.charged, 1))
	old := len(m.data)
	m.data = m.data[:old+n]
	v.copyTo(m.data[old:], off)
	m.charge += n
	s.charged += n
	return n
}

// tailRun returns the last message of the peer's queue if bytes may be appended to it, or nil:
// bytes are not appended after descriptors or with other credentials.
func (s *socket) tailRun(cred syscall.Ucred, rights bool) *message {
	q := s.peer.messages
	if len(q) == 0 || rights {
		return nil
	}
	m := q[len(q)-1]
	if len(m.data) == cap(m.data) || m.rights != nil || m.cred != cred {
		return nil
	}
	return m
}

// credentialsFor returns the sender's credentials for a message to other: none (a pid of 0 and
// the overflow ids) unless one of the two sockets asked for them.
func (s *socket) credentialsFor(other *socket, out *outgoing) syscall.Ucred {
	if out.claimed || s.passCred() || other.passCred() {
		return out.cred
	}
	const overflowID = 65534 // /proc/sys/kernel/overflowuid
	return syscall.Ucred{Pid: 0, Uid: overflowID, Gid: overflowID}
}

// sendPacket sends v as one packet. It checks the sender's own state before it checks whether
// the address exists.
func (s *socket) sendPacket(v span, out *outgoing, addr []byte) (int, syscall.Errno) {
	n := v.len()
	other, e := s.admitPacket(n, addr)
	if e != 0 {
		return 0, e
	}
	if other == nil {
		if other, e = s.find(addr); e != 0 {
			return 0, e
		}
	}
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	var m *message
	if other.filter != nil {
		if m = s.packet(v, n); !s.family.filters.wants(other, m) { // as on Linux before the receiver is looked at, and the sender is not told
			drop.add(out.rights)
			out.rights = nil
			return n, 0
		}
	}
	if e := s.checkReceiver(other, len(out.rights) > 0, &drop); e != 0 {
		return 0, e
	}
	s.unblock()
	if m == nil {
		m = s.packet(v, n)
	}
	m.rights, m.cred, m.charge = out.rights, s.credentialsFor(other, out), n+messageOverhead
	out.rights = nil
	if other.options.StampForm() != 0 {
		m.time = time.Now().UnixNano()
	}
	s.charged += m.charge
	other.messages = append(other.messages, m)
	other.queue.Notify(kernel.EventIn)
	return n, 0
}

// packet makes a message of n bytes.
func (s *socket) packet(v span, n int) *message {
	m := &message{data: make([]byte, n), from: s}
	v.copyTo(m.data, 0)
	return m
}

// admitPacket checks the sender's side and returns the peer, or nil if the packet goes to addr,
// which SOCK_SEQPACKET ignores.
func (s *socket) admitPacket(n int, addr []byte) (*socket, syscall.Errno) {
	if s.typ == syscall.SOCK_SEQPACKET {
		addr = nil
	}
	if len(addr) > 0 {
		if name, e := parseAddr(addr); e != 0 || len(name) == 0 {
			return nil, syscall.EINVAL
		}
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.typ == syscall.SOCK_SEQPACKET {
		if e := s.takeError(); e != 0 {
			return nil, e
		}
		if s.peer == nil {
			return nil, syscall.ENOTCONN
		}
	}
	if e := s.autobindForCredentials(); e != 0 {
		return nil, e
	}
	if e := s.roomFor(n); e != 0 {
		return nil, e
	}
	switch {
	case len(addr) > 0:
		return nil, 0
	case s.peer == nil:
		return nil, syscall.ENOTCONN
	}
	return s.peer, 0
}

func (s *socket) roomFor(n int) syscall.Errno {
	if n > s.options.Send-32 { // Linux reserves 32 bytes
		return syscall.EMSGSIZE
	}
	if e := s.takeError(); e != 0 {
		return e
	}
	if s.shutdown&shutWrite != 0 {
		return syscall.EPIPE
	}
	if s.charged >= s.options.Send {
		return syscall.EAGAIN
	}
	return 0
}

// checkReceiver checks the receiver's side. If the peer of a connected datagram socket is
// closed, the sender gets one error and is not connected any more.
func (s *socket) checkReceiver(other *socket, hasRights bool, drop *dropped) syscall.Errno {
	if other.closed {
		if s.peer != other {
			return syscall.ECONNREFUSED
		}
		if s.connectionBased() {
			return syscall.EPIPE
		}
		s.setPeer(nil)
		s.disconnectFrom(other, drop)
		return syscall.ECONNREFUSED
	}
	if !s.maySend(other) {
		return syscall.EPERM
	}
	if other.shutdown&shutRead != 0 {
		return syscall.EPIPE
	}
	if hasRights && !other.passRights() {
		return syscall.EPERM
	}
	if !s.connectionBased() && other != s && other.fullFor(s) {
		s.blockOn(other)
		return syscall.EAGAIN
	}
	return 0
}

// takeError returns the pending error and clears it.
func (s *socket) takeError() syscall.Errno {
	e := s.err
	s.err = 0
	return e
}
