package unixsock

import "syscall"

// SocketInfo describes a socket, for sock_diag(7).
type SocketInfo struct {
	Type           uint8 // SOCK_STREAM and so on
	State          uint8 // of enum tcp_states
	Shutdown       uint8 // bits: receives no more, sends no more
	Inode          uint64
	Name           []byte   // sun_path as bound, nil if unnamed
	Peer           uint64   // inode, 0 if there is none
	Waiting        []uint64 // inodes of the sockets whose connections wait for accept(2)
	Received, Sent int      // bytes not read, by it and by its peer; connections and backlog of a listener
	// Option is getsockopt(2).
	Option func(level, name int, dst []byte) (int, syscall.Errno)
}

// States of unix sockets, of Linux's enum tcp_states.
const (
	tcpEstablished = 1
	tcpClose       = 7
	tcpListen      = 10
)

// Sockets returns all sockets that are open.
func (f *Family) Sockets() []SocketInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	hasSender := map[*socket]bool{} // a datagram socket to which another is connected
	for s := f.first; s != nil; s = s.next {
		hasSender[s.peer] = true
	}
	var list []SocketInfo
	for s := f.first; s != nil; s = s.next {
		i := s.info()
		if i.State == tcpClose && hasSender[s] {
			i.State = tcpEstablished // unix_dgram_connect in Linux's net/unix/af_unix.c
		}
		list = append(list, i)
	}
	return list
}

// info describes a socket, as sk_diag_fill in Linux's net/unix/diag.c. Family.mu is held.
func (s *socket) info() SocketInfo {
	i := SocketInfo{Type: uint8(s.typ), State: tcpClose, Shutdown: uint8(s.shutdown), Inode: s.ino, Name: s.name, Option: s.GetOption}
	switch s.state {
	case listening:
		i.State, i.Received, i.Sent = tcpListen, len(s.pending), s.backlog
		for _, p := range s.pending {
			if p.peer != nil {
				i.Waiting = append(i.Waiting, p.peer.ino)
			}
		}
		return i
	case connected:
		i.State = tcpEstablished
	}
	if s.peer != nil {
		i.Peer = s.peer.ino
	}
	i.Received, i.Sent = s.waiting(), s.charged
	return i
}
