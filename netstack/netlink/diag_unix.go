package netlink

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file answers requests of linux/unix_diag.h: sockets of AF_UNIX.

// UnixSocket is a unix socket.
type UnixSocket struct {
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

// Constants of linux/unix_diag.h.
const (
	unixRequestSize = 24 // struct unix_diag_req

	unixName     = 0 // UNIX_DIAG_NAME and those that follow
	unixPeer     = 2
	unixWaiting  = 3
	unixQueues   = 4
	unixMemory   = 5
	unixShutdown = 6
	unixUser     = 7

	showName    = 0x01 // UDIAG_SHOW_NAME and so on
	showPeer    = 0x04
	showWaiting = 0x08
	showQueues  = 0x10
	showMemory  = 0x20
	showUser    = 0x40
)

// unix answers a request about unix sockets.
func (d *diagnosis) unix(dump bool) syscall.Errno {
	b := d.r.body()
	if len(b) < unixRequestSize {
		return syscall.EINVAL
	}
	states, inode := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])
	show, cookie := binary.NativeEndian.Uint32(b[12:]), binary.NativeEndian.Uint64(b[16:])
	if b[1] != 0 || !dump && inode == 0 {
		return syscall.EINVAL
	}
	for _, s := range d.source.UnixSockets() {
		switch {
		case dump && states&(1<<s.State) != 0:
			d.unixSocket(&s, show, syscall.NLM_F_MULTI)
		case !dump && uint32(s.Inode) == inode:
			if cookie != noCookie && cookie != s.Inode {
				return syscall.ESTALE
			}
			d.unixSocket(&s, show, 0)
			return 0
		}
	}
	if !dump {
		return syscall.ENOENT
	}
	return 0
}

// unixSocket adds the message about a socket: struct unix_diag_msg and attributes.
func (d *diagnosis) unixSocket(s *UnixSocket, show uint32, flags uint16) {
	d.message(getSockets, flags, d.r.seq, d.port)
	d.u8(syscall.AF_UNIX, s.Type, s.State, 0)
	d.u32(uint32(s.Inode))
	d.u64(s.Inode)
	if show&showName != 0 && s.Name != nil {
		d.attribute(unixName, s.Name)
	}
	if show&showPeer != 0 && s.Peer != 0 {
		d.attribute32(unixPeer, uint32(s.Peer))
	}
	if show&showWaiting != 0 && s.State == stateListen {
		var inodes encoder
		for _, w := range s.Waiting {
			inodes.u32(uint32(w))
		}
		d.attribute(unixWaiting, inodes.buf)
	}
	if show&showQueues != 0 {
		var queues encoder
		queues.u32(uint32(s.Received))
		queues.u32(uint32(s.Sent))
		d.attribute(unixQueues, queues.buf)
	}
	if show&showMemory != 0 {
		var all [solsocket.MeminfoSize]byte
		if _, e := s.Option(syscall.SOL_SOCKET, solsocket.Meminfo, all[:]); e == 0 {
			d.attribute(unixMemory, all[:])
		}
	}
	d.attribute8(unixShutdown, s.Shutdown)
	if show&showUser != 0 {
		d.attribute32(unixUser, 0) // root's
	}
}
