// Package packetsock implements AF_PACKET sockets as packet(7) describes them: the frames of all
// interfaces, as they come and as they go, with their Ethernet headers (SOCK_RAW) or without
// (SOCK_DGRAM), and frames of the program's own.
//
// Sequences, limits and error numbers follow net/packet/af_packet.c of Linux 6.18: the tests run each
// case on the Linux under them first. The rings (PACKET_RX_RING, PACKET_TX_RING), PACKET_FANOUT and
// PACKET_VNET_HDR do not exist, and SOCK_PACKET, which packet(7) calls obsolete, does not either.
//
// Start reading at Family, then socket (socket.go). A frame passes Family.see and socket.take
// (receive.go), which put a copy into the sockets' queues; sent ones go through socket.send (send.go).
package packetsock

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// A Network is what the sockets need of the stack, *netstack.Stack.
type Network interface {
	Watch(f func(*netstack.WatchedFrame))
	OnChange(f func())
	FrameInterface(index int) (netstack.FrameInterface, bool)
	InterfaceNames() map[int]string
	GroupAddresses(index int) []string
	SendFrame(index int, frame []byte, protocol uint16, sender any, hidden bool) syscall.Errno
	HoldDatagrams(n int) bool
	NextInode() uint64
	Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno)
}

// Family is the set of packet sockets of a network.
type Family struct {
	net       Network
	newFilter bpf.Maker

	// current is what see looks at; update makes a new one.
	current atomic.Pointer[receivers]

	mu      sync.Mutex
	sockets map[*socket]struct{} // those that are open
	members map[membership]int   // how often each was added, by all sockets
}

// New returns the family of a network. newFilter makes its filters.
func New(n Network, newFilter bpf.Maker) *Family {
	f := &Family{net: n, newFilter: newFilter, sockets: make(map[*socket]struct{}), members: make(map[membership]int)}
	f.current.Store(&receivers{})
	n.OnChange(f.changed)
	return f
}

// Types of frames that have no number in package syscall: linux/if_ether.h.
const (
	typeAll  = 0x0003 // ETH_P_ALL
	typeVLAN = 0x8100 // ETH_P_8021Q
)

// Socket is a kernel.SocketFactory. As on Linux, the 16 low bits of the protocol are a type of frames in
// network order; 0 receives nothing.
func (f *Family) Socket(typ, protocol int) (kernel.Socket, syscall.Errno) {
	if typ > syscall.SOCK_PACKET {
		return nil, syscall.EINVAL
	}
	if typ != syscall.SOCK_RAW && typ != syscall.SOCK_DGRAM {
		return nil, syscall.ESOCKTNOSUPPORT
	}
	s := &socket{
		family: f, typ: typ, inode: f.net.NextInode(), options: solsocket.New(solsocket.Cards), stamp: noStamp,
		hook: hook{protocol: swap16(uint16(protocol))},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sockets[s] = struct{}{}
	s.hook.running = s.hook.protocol != 0
	f.update()
	return s, 0
}

// swap16 turns a number in network order into one of the machine, which is little-endian, and back.
func swap16(v uint16) uint16 { return v<<8 | v>>8 }

// A hook says which frames a socket receives.
type hook struct {
	protocol uint16 // a type of frames; 0: none, typeAll: all
	index    int    // of the interface; 0: all, -1: one that was removed
	running  bool
}

// receivers are the sockets that frames are for, and those of other stations that the cards let pass.
type receivers struct {
	sockets []receiver
	members map[membership]int
}

type receiver struct {
	*socket
	hook
}

// update makes what see looks at. Without a socket that receives, frames are not watched. mu is held.
func (f *Family) update() {
	r := &receivers{members: maps.Clone(f.members)}
	for s := range f.sockets {
		if s.hook.running {
			r.sockets = append(r.sockets, receiver{s, s.hook})
		}
	}
	before := len(f.current.Load().sockets)
	f.current.Store(r)
	switch {
	case before == 0 && len(r.sockets) != 0:
		f.net.Watch(f.see)
	case before != 0 && len(r.sockets) == 0:
		f.net.Watch(nil)
	}
}

// changed is called when interfaces may have gone, come up or gone down: packet_notifier in Linux's
// net/packet/af_packet.c.
func (f *Family) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sockets {
		f.dropMembers(s, func(m membership) bool {
			_, ok := f.net.FrameInterface(m.index)
			return !ok
		})
		h := &s.hook
		if h.index <= 0 {
			continue
		}
		i, ok := f.net.FrameInterface(h.index)
		if h.running && !i.Up {
			s.fail(syscall.ENETDOWN)
		}
		h.running = i.Up && h.protocol != 0
		if !ok {
			h.index, h.running = -1, false
		}
	}
	f.update()
}

// release forgets a socket that is closed.
func (f *Family) release(s *socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sockets, s)
	f.dropMembers(s, func(membership) bool { return true })
	f.update()
}

// all returns the sockets in the order in which they were made.
func (f *Family) all() []*socket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.sockets), func(a, b *socket) int { return int(a.inode) - int(b.inode) })
}

// now returns the time of arrival of a frame, in nanoseconds since 1970.
func now() int64 { return time.Now().UnixNano() }
