package netlink

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// Offsets in struct ifinfomsg.
const (
	linkFlags  = 8
	linkChange = 12
)

// Attributes of linux/if_link.h that say nothing which would change, beside those that changeLink
// serves.
const (
	iflaExtMask = 29
	infoData    = 2 // IFLA_INFO_DATA, in IFLA_LINKINFO
)

// changeLink is RTM_NEWLINK and RTM_SETLINK: struct ifinfomsg. Cards are not made here: those that
// programs make come by /dev/net/tun.
func (a *write) changeLink() syscall.Errno {
	b := a.r.body()
	if len(b) < linkSize {
		return syscall.EINVAL
	}
	i, e := a.named()
	how := a.how()
	switch {
	case e != 0 && a.r.typ == syscall.RTM_NEWLINK && how.Create && a.r.index(4) == 0:
		return syscall.EOPNOTSUPP
	case e != 0 && a.r.typ == syscall.RTM_NEWLINK:
		return syscall.ENODEV
	case e != 0:
		return e
	case a.r.typ == syscall.RTM_NEWLINK && how.Exclusive:
		return syscall.EEXIST
	case a.r.typ == syscall.RTM_NEWLINK && how.Replace, !a.mayChange(i):
		return syscall.EOPNOTSUPP
	}
	c := LinkChange{MTU: -1}
	if a.has(linkSize, syscall.IFLA_MTU) {
		mtu, e := a.number(linkSize, syscall.IFLA_MTU, 0)
		if e != 0 {
			return e
		}
		if c.MTU = int(int32(mtu)); c.MTU < 0 {
			return syscall.EINVAL
		}
	}
	if name := a.name(); name != i.Name {
		c.Name = name
	}
	flags, change := binary.NativeEndian.Uint32(b[linkFlags:]), binary.NativeEndian.Uint32(b[linkChange:])
	if change&syscall.IFF_UP != 0 || change == 0 && flags != 0 {
		up := flags&syscall.IFF_UP != 0
		c.Up = &up
	}
	return a.w.SetLink(i.Index, c)
}

// name returns IFLA_IFNAME, or "".
func (a *write) name() string {
	name := a.r.attribute(linkSize, syscall.IFLA_IFNAME)
	if n := bytes.IndexByte(name, 0); n >= 0 {
		name = name[:n]
	}
	return string(name)
}

// named returns the interface that a request names by its index, or else by its name.
func (a *write) named() (*Interface, syscall.Errno) {
	index, name := a.r.index(4), a.r.linkName()
	switch {
	case index < 0, index == 0 && name == "":
		return nil, syscall.EINVAL
	}
	list := a.source.Interfaces()
	for n := range list {
		if i := &list[n]; i.Index == index || index == 0 && i.Name == name {
			return i, 0
		}
	}
	return nil, syscall.ENODEV
}

// mayChange reports whether the request asks for nothing beyond the name, the MTU and whether the
// interface is up.
func (a *write) mayChange(i *Interface) bool {
	b := a.r.body()
	flags, change := binary.NativeEndian.Uint32(b[linkFlags:]), binary.NativeEndian.Uint32(b[linkChange:])
	if (flags^i.Flags)&change&^syscall.IFF_UP&^volatileFlags != 0 {
		return false
	}
	for rest := b[linkSize:]; len(rest) >= attributeSize; {
		n := int(binary.NativeEndian.Uint16(rest))
		if n < attributeSize || n > len(rest) {
			return true // Linux reads no further, either
		}
		if !a.asItIs(i, binary.NativeEndian.Uint16(rest[2:])&nestedMask, rest[attributeSize:n]) {
			return false
		}
		rest = rest[min(align(n), len(rest)):]
	}
	return true
}

// volatileFlags are those that nobody can set: IFF_RUNNING, IFF_LOWER_UP and so on (netdevice(7)).
const volatileFlags = syscall.IFF_LOOPBACK | syscall.IFF_POINTOPOINT | syscall.IFF_BROADCAST | syscall.IFF_RUNNING | 1<<16 | 1<<17 | 1<<18

// asItIs reports whether an attribute is one that changeLink serves, or says what is so anyway.
func (a *write) asItIs(i *Interface, typ uint16, v []byte) bool {
	switch typ {
	case syscall.IFLA_IFNAME, syscall.IFLA_MTU, iflaExtMask:
		return true
	case syscall.IFLA_ADDRESS:
		return bytes.Equal(v, i.HardwareAddr)
	case syscall.IFLA_TXQLEN:
		return len(v) >= 4 && binary.NativeEndian.Uint32(v) == uint32(i.QueueLength)
	case iflaLinkInfo:
		info := request{raw: append(make([]byte, headerSize), v...)}
		kind := info.attribute(0, infoKind)
		return string(bytes.TrimRight(kind, "\x00")) == i.Kind && info.attribute(0, infoData) == nil
	}
	return false
}

// removeLink is RTM_DELLINK.
func (a *write) removeLink() syscall.Errno {
	if len(a.r.body()) < linkSize {
		return syscall.EINVAL
	}
	i, e := a.named()
	switch {
	case e != 0:
		return e
	case i.Kind == "":
		return syscall.EOPNOTSUPP
	}
	return a.w.RemoveLink(i.Index)
}
