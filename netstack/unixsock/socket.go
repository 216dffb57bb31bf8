package unixsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

type state uint8

const (
	idle state = iota
	listening
	connected
)

// These are the bits of socket.shutdown.
const (
	shutRead  = 1
	shutWrite = 2
	shutBoth  = shutRead | shutWrite
)

// maxDatagrams is the most datagrams that wait for one receiver (net.unix.max_dgram_qlen, with
// the value that distributions set).
const maxDatagrams = 512

// noCredentials is the result of SO_PEERCRED without a peer: unix(7).
var noCredentials = syscall.Ucred{Pid: 0, Uid: ^uint32(0), Gid: ^uint32(0)}

// socket is one end. Family.mu guards its fields except those that never change.
type socket struct {
	next, prev *socket // in the list of open sockets

	family *Family
	typ    int
	ino    uint64
	queue  kernel.WaitQueue

	mode, uid, gid uint32 // of the socket itself, not of a path

	state    state
	closed   bool
	name     []byte // sun_path as bound, see address.go; nil if unnamed
	peer     *socket
	shutdown int
	err      syscall.Errno // reported once, by the next call that checks for it

	messages []*message // the receive queue
	charged  int        // bytes sent by this socket that were not received yet

	backlog int
	pending []*socket // server ends that wait for Accept

	// blockedOn is the socket whose full queue refused this socket's last connect or send.
	// That socket's set blocked contains this socket, which it wakes when it has room. Until
	// then EventOut is not set; otherwise a waiter for it would spin.
	blockedOn *socket
	blocked   map[*socket]struct{}

	peerCred syscall.Ucred
	options  solsocket.Options

	tellsQueued bool        // SO_INQ
	filter      *bpf.Filter // of packets that others send to the socket
}

func (f *Family) newSocket(typ int) *socket {
	f.lastIno++
	s := &socket{family: f, typ: typ, ino: f.lastIno, mode: 0o777, options: solsocket.New(traits), peerCred: noCredentials}
	f.track(s)
	return s
}

// connectionBased reports whether the socket's type has connections: two ends that belong
// together until they are closed.
func (s *socket) connectionBased() bool { return s.typ != syscall.SOCK_DGRAM }

// Read implements kernel.File.
func (s *socket) Read(p []byte, _ int64) (int, syscall.Errno) {
	r, e := s.receive(span{one: p}, 0)
	r.discardRights()
	return r.n, e
}

// Write implements kernel.File.
func (s *socket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return s.send(span{one: p}, &outgoing{}, nil, 0)
}

// Queue implements kernel.File.
func (s *socket) Queue() *kernel.WaitQueue { return &s.queue }

// Readiness implements kernel.File. The bits are those of Linux's unix_poll and
// unix_dgram_poll, without RDNORM and WRNORM.
func (s *socket) Readiness() kernel.Events {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	var ev kernel.Events
	if s.err != 0 {
		ev |= kernel.EventErr
	}
	if s.shutdown == shutBoth || s.connectionBased() && s.state == idle {
		ev |= kernel.EventHup
	}
	if s.shutdown&shutRead != 0 {
		ev |= kernel.EventRdHup | kernel.EventIn
	}
	if len(s.messages) > 0 || len(s.pending) > 0 {
		ev |= kernel.EventIn
	}
	if s.writable() && !s.waitForPeer() {
		ev |= kernel.EventOut
	}
	return ev.Band()
}

// writable reports whether EventOut is set for a stream: when at most a quarter of the buffer
// is used, so that a writer is not woken for every byte that is read.
func (s *socket) writable() bool {
	return s.state != listening && s.blockedOn == nil && s.charged*4 <= s.options.Send
}

// waitForPeer reports whether a datagram socket's peer is full, and makes the peer wake s when
// it has room.
func (s *socket) waitForPeer() bool {
	if s.connectionBased() || s.peer == nil || s.peer.closed || !s.peer.fullFor(s) {
		return false
	}
	s.blockOn(s.peer)
	return true
}

// fullFor reports whether s takes no more datagrams from sender. Two sockets that are connected
// to each other are only limited by their send buffers.
func (s *socket) fullFor(sender *socket) bool {
	return s.peer != sender && len(s.messages) > maxDatagrams
}

// blockOn makes other wake s when it has room.
func (s *socket) blockOn(other *socket) {
	s.unblock()
	if other.blocked == nil {
		other.blocked = make(map[*socket]struct{})
	}
	other.blocked[s] = struct{}{}
	s.blockedOn = other
}

func (s *socket) unblock() {
	if s.blockedOn != nil {
		delete(s.blockedOn.blocked, s)
		s.blockedOn = nil
	}
}

// wakeBlocked wakes the sockets that wait for room in s.
func (s *socket) wakeBlocked() {
	for b := range s.blocked {
		delete(s.blocked, b)
		b.blockedOn = nil
		b.queue.Notify(kernel.EventOut)
	}
}

// Stat implements kernel.File.
func (s *socket) Stat(st *syscall.Stat_t) syscall.Errno {
	s.family.mu.Lock()
	*st = syscall.Stat_t{Ino: s.ino, Mode: syscall.S_IFSOCK | s.mode, Uid: s.uid, Gid: s.gid, Nlink: 1, Blksize: 4096}
	s.family.mu.Unlock()
	return 0
}

// SetAttr is fchmod(2) and fchown(2). A path that the socket is bound to later gets the mode.
func (s *socket) SetAttr(c kernel.AttrChange) syscall.Errno {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if c.Mask&kernel.AttrMode != 0 {
		s.mode = c.Mode
	}
	if c.Mask&kernel.AttrUID != 0 {
		s.uid = c.UID
	}
	if c.Mask&kernel.AttrGID != 0 {
		s.gid = c.GID
	}
	return 0
}

// These are requests of ioctl(2) for sockets: unix(7).
const (
	siocInq  = 0x541b // SIOCINQ = FIONREAD
	siocOutq = 0x5411 // SIOCOUTQ = TIOCOUTQ
)

// Ioctl implements kernel.Ioctler.
func (s *socket) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	var n int
	switch req {
	case siocInq:
		var e syscall.Errno
		if n, e = s.unread(); e != 0 {
			return 0, e
		}
	case siocOutq:
		s.family.mu.Lock()
		n = s.charged
		s.family.mu.Unlock()
	default:
		return 0, syscall.ENOTTY
	}
	dst, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	binary.NativeEndian.PutUint32(dst, uint32(n))
	return 0, 0
}

// unread returns the number of bytes in a stream, or the size of the next packet.
func (s *socket) unread() (int, syscall.Errno) {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.state == listening {
		return 0, syscall.EINVAL
	}
	return s.waiting(), 0
}

// waiting is unread with Family.mu held.
func (s *socket) waiting() (n int) {
	for _, m := range s.messages {
		n += len(m.data)
		if s.typ == syscall.SOCK_DGRAM {
			break
		}
	}
	return n
}

// Release implements kernel.File.
func (s *socket) Release() {
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	s.close(&drop, false)
}

// close closes s. With unaccepted, s is a server end that was never accepted: its client always
// gets a reset.
func (s *socket) close(drop *dropped, unaccepted bool) {
	if s.closed {
		return
	}
	s.closed = true
	s.family.untrack(s)
	s.forgetName()
	s.unblock()
	unread := len(s.messages) > 1 || len(s.messages) == 1 && len(s.messages[0].data) > 0 // one empty packet does not count
	s.purge(drop)
	for _, p := range s.pending {
		p.close(drop, true)
	}
	s.pending = nil
	if p := s.peer; s.connectionBased() && p != nil && !p.closed {
		p.shutdown = shutBoth
		if unread || unaccepted {
			p.err = syscall.ECONNRESET
		}
		p.queue.Notify(kernel.EventIn | kernel.EventOut | kernel.EventHup | kernel.EventRdHup | kernel.EventErr)
	}
	s.shutdown = shutBoth
	// Sockets that wait for room try again and are refused.
	s.wakeBlocked()
	s.queue.Notify(kernel.EventHup)
}

// purge drops messages that were not received.
func (s *socket) purge(drop *dropped) {
	for _, m := range s.messages {
		m.free(drop)
	}
	s.messages = nil
}
