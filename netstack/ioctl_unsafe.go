package netstack

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/yolk-unikernel/yolk/kernel"
)

var _ kernel.Ioctler = (*socket)(nil)

// Ioctl implements kernel.Ioctler: the requests of socket ioctls that Go programs make
// (netdevice(7), tcp(7)).
func (k *socket) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	switch req {
	case syscall.TIOCINQ: // also FIONREAD and SIOCINQ
		return k.ioctlQueued(tcpip.ReceiveQueueSizeOption, false, &a)
	case syscall.TIOCOUTQ, siocOutqNSD: // also SIOCOUTQ
		return k.ioctlQueued(tcpip.SendQueueSizeOption, req == siocOutqNSD, &a)
	case siocAtMark:
		return k.ioctlAtMark(&a)
	case siocGStamp, siocGStampNew:
		return 0, k.ioctlStamp(&a, 1000)
	case siocGStampNS, siocGStampNSNew:
		return 0, k.ioctlStamp(&a, 1)
	}
	return k.stack.Ioctl(req, a)
}

// Ioctl is a request for interfaces, which sockets of any family can make.
func (s *Stack) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	switch req {
	case syscall.SIOCGIFCONF:
		return s.ioctlConf(&a)
	case syscall.SIOCGIFNAME, siocGIfIndex, syscall.SIOCGIFADDR, syscall.SIOCGIFMTU, syscall.SIOCGIFFLAGS,
		syscall.SIOCGIFHWADDR, syscall.SIOCGIFNETMASK, syscall.SIOCGIFBRDADDR, syscall.SIOCGIFDSTADDR,
		syscall.SIOCGIFMETRIC, siocGIfTxQLen, siocGIfMap, siocEthtool, siocGMIIPhy, siocGMIIReg, siocGHwTstamp:
		return s.ioctlInterface(req, &a)
	case syscall.SIOCSIFADDR, syscall.SIOCSIFFLAGS, syscall.SIOCSIFMTU, syscall.SIOCSIFNETMASK, syscall.SIOCSIFBRDADDR,
		syscall.SIOCSIFDSTADDR, syscall.SIOCSIFMETRIC, syscall.SIOCSIFHWADDR, syscall.SIOCSIFNAME, siocSIfTxQLen,
		syscall.SIOCADDMULTI, syscall.SIOCDELMULTI, syscall.SIOCADDRT, syscall.SIOCDELRT, syscall.SIOCSARP, syscall.SIOCDARP:
		if set := s.setByIoctl; set != nil {
			return 0, set(req, &a)
		}
		return 0, syscall.EPERM
	}
	return 0, syscall.ENOTTY
}

// ioctlAtMark is SIOCATMARK: whether the urgent byte is the next.
func (k *socket) ioctlAtMark(a *kernel.Args) (uintptr, syscall.Errno) {
	if k.kind() != streams {
		return 0, syscall.ENOTTY
	}
	dst, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	putInt(dst, boolInt(k.AtMark()))
	return 0, 0
}

// ioctlQueued is how many bytes wait; notSent: of those to send, without those that the peer may
// have.
func (k *socket) ioctlQueued(o tcpip.SockOptInt, notSent bool, a *kernel.Args) (uintptr, syscall.Errno) {
	dst, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	if on, _ := k.listening(); on != 0 {
		return 0, syscall.EINVAL
	}
	if ep, ok := k.ep().(interface{ Unacknowledged() (all, unsent int) }); ok && o == tcpip.SendQueueSizeOption {
		all, unsent := ep.Unacknowledged()
		if notSent {
			all = unsent
		}
		putInt(dst, all)
		return 0, 0
	}
	v, err := k.queuedBytes()
	if o == tcpip.SendQueueSizeOption {
		v, err = k.ep().GetSockOptInt(o)
	}
	if err != nil && o == tcpip.SendQueueSizeOption {
		v, err = 0, nil // datagrams do not wait in gVisor
	}
	if err != nil {
		return 0, errnoOf(err)
	}
	putInt(dst, v)
	return 0, 0
}

// ioctlInterface serves requests with a struct ifreq: a name of 16 bytes and a union of 24
// bytes.
func (s *Stack) ioctlInterface(req uintptr, a *kernel.Args) (uintptr, syscall.Errno) {
	r, e := a.Bytes(2, ifreqSize)
	if e != 0 {
		return 0, e
	}
	union := r[ifNameSize:]
	if req == syscall.SIOCGIFNAME {
		index := int(int32(binary.NativeEndian.Uint32(union)))
		for _, i := range s.Interfaces() {
			if i.Index == index {
				clear(r[:ifNameSize])
				copy(r[:ifNameSize-1], i.Name)
				return 0, 0
			}
		}
		return 0, syscall.ENODEV
	}
	name := cString(r[:ifNameSize])
	for _, i := range s.Interfaces() {
		if i.Name == name {
			return 0, fillIfreq(req, union, &i)
		}
	}
	return 0, syscall.ENODEV
}

func fillIfreq(req uintptr, union []byte, i *InterfaceInfo) syscall.Errno {
	clear(union)
	put := binary.NativeEndian.PutUint32
	switch req {
	case siocGIfIndex:
		put(union, uint32(i.Index))
	case syscall.SIOCGIFMTU:
		put(union, uint32(i.MTU))
	case syscall.SIOCGIFFLAGS:
		binary.NativeEndian.PutUint16(union, uint16(i.Flags))
	case siocGIfTxQLen:
		put(union, uint32(i.QueueLength))
	case syscall.SIOCGIFMETRIC, siocGIfMap: // no metric, and no memory and interrupt that could be named
	case siocEthtool, siocGMIIPhy, siocGMIIReg, siocGHwTstamp:
		return syscall.EOPNOTSUPP // as a card whose driver knows nothing of these
	case syscall.SIOCGIFHWADDR:
		binary.NativeEndian.PutUint16(union, i.Type)
		copy(union[2:], i.HardwareAddr)
	default:
		return fillIfreqAddr(req, union, i)
	}
	return 0
}

// fillIfreqAddr writes the first IPv4 address of the interface, its mask or its broadcast
// address as a sockaddr_in.
func fillIfreqAddr(req uintptr, union []byte, i *InterfaceInfo) syscall.Errno {
	for _, a := range i.Addrs {
		if !a.Addr.Is4() {
			continue
		}
		ip := a.Addr.As4()
		mask := uint32(0xffffffff) << (32 - a.Bits)
		host := binary.BigEndian.Uint32(ip[:])
		switch req {
		case syscall.SIOCGIFNETMASK:
			host = mask
		case syscall.SIOCGIFBRDADDR:
			host |= ^mask
		}
		binary.NativeEndian.PutUint16(union, syscall.AF_INET)
		binary.BigEndian.PutUint32(union[4:], host)
		return 0
	}
	return syscall.EADDRNOTAVAIL
}

// ioctlConf is SIOCGIFCONF: struct ifconf has a length and a pointer to an array of struct
// ifreq, one per IPv4 address.
func (s *Stack) ioctlConf(a *kernel.Args) (uintptr, syscall.Errno) {
	conf, e := a.Bytes(2, 16)
	if e != 0 {
		return 0, e
	}
	room := int(int32(binary.NativeEndian.Uint32(conf)))
	buf := *(*unsafe.Pointer)(unsafe.Pointer(&conf[8]))
	var out []byte
	for _, i := range s.Interfaces() {
		var r [ifreqSize]byte
		copy(r[:ifNameSize-1], i.Name)
		if fillIfreqAddr(syscall.SIOCGIFADDR, r[ifNameSize:], &i) == 0 {
			out = append(out, r[:]...)
		}
	}
	if buf != nil {
		if room < 0 {
			return 0, syscall.EINVAL
		}
		out = out[:min(len(out), room/ifreqSize*ifreqSize)]
		copy(unsafe.Slice((*byte)(buf), len(out)), out)
	}
	binary.NativeEndian.PutUint32(conf, uint32(len(out)))
	return 0, 0
}
