package packetsock

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// socket is a packet socket.
type socket struct {
	family *Family
	typ    int
	inode  uint64
	queue  kernel.WaitQueue

	// hook and members are guarded by Family.mu.
	hook    hook
	members map[membership]int

	filter atomic.Pointer[bpf.Filter]
	flags  atomic.Uint32 // those of options that frames look at, beside

	// mu guards what follows. Family.mu is taken first if both are.
	mu         sync.Mutex
	packets    []*packet // the receive queue
	held       int       // bytes that it keeps
	err        syscall.Errno
	received   uint32 // frames since PACKET_STATISTICS was read
	lost       uint32 // frames of these that found no room
	drops      uint32 // frames that found no room, ever
	stamp      int64  // of SIOCGSTAMP, in nanoseconds
	keepsStamp bool   // it was asked for, or SO_TIMESTAMP or one of those beside it was on
	options    solsocket.Options
}

// Bits of socket.flags.
const (
	wantsAuxData   = 1 << iota // PACKET_AUXDATA
	originalDevice             // PACKET_ORIGDEV
	ignoresOutput              // PACKET_IGNORE_OUTGOING
	bypasses                   // PACKET_QDISC_BYPASS
)

func (s *socket) has(flag uint32) bool { return s.flags.Load()&flag != 0 }

func (s *socket) set(flag uint32, on bool) {
	if on {
		s.flags.Or(flag)
	} else {
		s.flags.And(^flag)
	}
}

// Fields of struct sockaddr_ll, packet(7): family, protocol in network order, index, type of hardware,
// type of packet, length of the address, address.
const (
	sockaddrSize = 20
	offProtocol  = 2
	offIndex     = 4
	offHardware  = 8
	offType      = 10
	offLength    = 11
	offAddress   = 12
	addressSize  = 6 // of Ethernet, and of lo
)

// putSockaddr writes a struct sockaddr_ll.
func putSockaddr(dst *[sockaddrSize]byte, protocol uint16, index int, hardware uint16, typ uint8, addr []byte) {
	binary.NativeEndian.PutUint16(dst[:], syscall.AF_PACKET)
	binary.BigEndian.PutUint16(dst[offProtocol:], protocol)
	binary.NativeEndian.PutUint32(dst[offIndex:], uint32(index))
	binary.NativeEndian.PutUint16(dst[offHardware:], hardware)
	dst[offType], dst[offLength] = typ, byte(len(addr))
	copy(dst[offAddress:], addr)
}

// Bind implements kernel.Socket: packet_do_bind in Linux's net/packet/af_packet.c.
func (s *socket) Bind(addr []byte) syscall.Errno {
	if len(addr) < sockaddrSize || binary.NativeEndian.Uint16(addr) != syscall.AF_PACKET {
		return syscall.EINVAL
	}
	protocol := binary.BigEndian.Uint16(addr[offProtocol:])
	index := int(int32(binary.NativeEndian.Uint32(addr[offIndex:])))
	f := s.family
	f.mu.Lock()
	defer f.mu.Unlock()
	up := true
	if index != 0 {
		i, ok := f.net.FrameInterface(index)
		if !ok {
			return syscall.ENODEV
		}
		up = i.Up
	}
	if protocol == 0 {
		protocol = s.hook.protocol
	}
	if protocol == s.hook.protocol && index == s.hook.index {
		return 0
	}
	s.hook = hook{protocol: protocol, index: index, running: protocol != 0 && up}
	if protocol != 0 && !up {
		s.fail(syscall.ENETDOWN)
	}
	f.update()
	return 0
}

// fail sets an error for the next call that asks for one.
func (s *socket) fail(e syscall.Errno) {
	s.mu.Lock()
	s.err = e
	s.mu.Unlock()
	s.queue.Notify(kernel.EventErr)
}

// takeError returns the error and forgets it. mu is held.
func (s *socket) takeError() syscall.Errno {
	e := s.err
	s.err = 0
	return e
}

// Connect implements kernel.Socket.
func (s *socket) Connect([]byte) syscall.Errno { return syscall.EOPNOTSUPP }

// Listen implements kernel.Socket.
func (s *socket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements kernel.Socket.
func (s *socket) Accept() (kernel.Socket, syscall.Errno) { return nil, syscall.EOPNOTSUPP }

// Shutdown implements kernel.Socket.
func (s *socket) Shutdown(int) syscall.Errno { return syscall.EOPNOTSUPP }

// LocalAddr implements kernel.Socket.
func (s *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	s.family.mu.Lock()
	h := s.hook
	s.family.mu.Unlock()
	var b [sockaddrSize]byte
	i, ok := s.family.net.FrameInterface(h.index)
	if ok {
		putSockaddr(&b, h.protocol, h.index, i.Hardware, 0, i.HardwareAddr[:min(i.Header, addressSize)])
	} else {
		putSockaddr(&b, h.protocol, h.index, 0, 0, nil)
	}
	return copy(dst, b[:offAddress+int(b[offLength])]), 0
}

// PeerAddr implements kernel.Socket.
func (s *socket) PeerAddr([]byte) (int, syscall.Errno) { return 0, syscall.EOPNOTSUPP }

// Queue implements kernel.File.
func (s *socket) Queue() *kernel.WaitQueue { return &s.queue }

// Readiness implements kernel.File. There is always room to send: frames do not wait in the socket.
func (s *socket) Readiness() kernel.Events {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := kernel.EventOut | kernel.EventWrBand
	if len(s.packets) > 0 {
		ev |= kernel.EventIn
	}
	if s.err != 0 {
		ev |= kernel.EventErr
	}
	return ev
}

// Stat implements kernel.File.
func (s *socket) Stat(st *syscall.Stat_t) syscall.Errno {
	const sockfs = 8 // the device number of Linux's sockfs on a usual system
	*st = syscall.Stat_t{Dev: sockfs, Ino: s.inode, Nlink: 1, Mode: syscall.S_IFSOCK | 0o777, Blksize: 4096}
	return 0
}

// Release implements kernel.File.
func (s *socket) Release() {
	s.family.release(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Receive = 0 // a frame that is being shown finds no room
	s.family.net.HoldDatagrams(-s.held)
	s.packets, s.held = nil, 0
}

// Ioctl implements kernel.Ioctler. Requests that are not about the socket are about interfaces.
func (s *socket) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	const gstampNew, gstampNSNew = 0x80108906, 0x80108907 // SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW
	const gstampNS = 0x8907                               // SIOCGSTAMPNS
	var n int
	switch req {
	case syscall.TIOCINQ: // also FIONREAD and SIOCINQ: the size of the next frame
		s.mu.Lock()
		if len(s.packets) > 0 {
			n = len(s.packets[0].data)
		}
		s.mu.Unlock()
	case syscall.TIOCOUTQ: // also SIOCOUTQ: nothing waits here
	case syscall.SIOCGSTAMP, gstampNew:
		return 0, s.lastStamp(&a, 1000)
	case gstampNS, gstampNSNew:
		return 0, s.lastStamp(&a, 1)
	default:
		return s.family.net.Ioctl(req, a)
	}
	dst, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	binary.NativeEndian.PutUint32(dst, uint32(n))
	return 0, 0
}

// The stamp of a socket without a frame, and of one whose frames had no time because nothing asked for
// it: sock_gettstamp in Linux's net/core/sock.c.
const noStamp, unknownStamp = -1, 0

// lastStamp writes when the frame came that was received last, in units of a number of nanoseconds.
func (s *socket) lastStamp(a *kernel.Args, unit int64) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepsStamp = true
	if s.stamp == noStamp {
		return syscall.ENOENT
	}
	if s.stamp == unknownStamp {
		s.stamp = now()
	}
	dst, e := a.Bytes(2, 16)
	if e != 0 {
		return e
	}
	binary.NativeEndian.PutUint64(dst, uint64(s.stamp/1e9))
	binary.NativeEndian.PutUint64(dst[8:], uint64(s.stamp%1e9/unit))
	return 0
}
