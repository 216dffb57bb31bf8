package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// This file reads the arguments of the multicast options: structures of ip(7), ipv6(7) and RFC 3678.

// Sizes in bytes, and offsets in structures that begin with the number of an interface.
const (
	mreqSize        = 8   // struct ip_mreq
	mreqnSize       = 12  // struct ip_mreqn
	mreqSourceSize  = 12  // struct ip_mreq_source
	msfilterSize    = 16  // struct ip_msfilter without sources
	groupReqSize    = 136 // struct group_req
	groupSourceSize = 264 // struct group_source_req
	groupFilterSize = 144 // struct group_filter without sources
	storageSize     = 128 // struct sockaddr_storage
	groupAt         = 8
	groupSourceAt   = groupAt + storageSize
)

func (k *socket) addMembership4(val []byte) syscall.Errno {
	t, e := membership4(val)
	if e != 0 {
		return e
	}
	return k.join(t, false)
}

func (k *socket) dropMembership4(val []byte) syscall.Errno {
	t, e := membership4(val)
	if e != 0 {
		return e
	}
	return k.leave(t)
}

// membership4 reads struct ip_mreq or ip_mreqn.
func membership4(val []byte) (t mcastTarget, e syscall.Errno) {
	if len(val) < mreqSize {
		return t, syscall.EINVAL
	}
	t.group = tcpip.AddrFrom4([4]byte(val))
	t.iface = addr4(val[4:8])
	if len(val) >= mreqnSize {
		t.nic = tcpip.NICID(int32(binary.NativeEndian.Uint32(val[8:])))
	}
	return t, 0
}

func (k *socket) joinGroup6(val []byte) syscall.Errno {
	t, e := membership6(val)
	if e != 0 {
		return e
	}
	return k.join(t, false)
}

func (k *socket) leaveGroup6(val []byte) syscall.Errno {
	t, e := membership6(val)
	if e != 0 {
		return e
	}
	return k.leave(t)
}

// membership6 reads struct ipv6_mreq: the group and an interface index.
func membership6(val []byte) (t mcastTarget, e syscall.Errno) {
	if len(val) < ipv6MreqSize {
		return t, syscall.EINVAL
	}
	t.group = tcpip.AddrFrom16([16]byte(val))
	t.nic = tcpip.NICID(int32(binary.NativeEndian.Uint32(val[16:])))
	return t, 0
}

func (k *socket) joinGroup4(val []byte) syscall.Errno {
	return k.groupRequest(val, syscall.AF_INET, syscall.EINVAL, true)
}

func (k *socket) leaveGroup4(val []byte) syscall.Errno {
	return k.groupRequest(val, syscall.AF_INET, syscall.EINVAL, false)
}

func (k *socket) joinGroupAny6(val []byte) syscall.Errno {
	return k.groupRequest(val, syscall.AF_INET6, syscall.EADDRNOTAVAIL, true)
}

func (k *socket) leaveGroupAny6(val []byte) syscall.Errno {
	return k.groupRequest(val, syscall.AF_INET6, syscall.EADDRNOTAVAIL, false)
}

// groupRequest reads struct group_req, for a group of the family; other families are wrong.
func (k *socket) groupRequest(val []byte, family int, wrong syscall.Errno, join bool) syscall.Errno {
	if len(val) < groupReqSize {
		return syscall.EINVAL
	}
	group, ok := groupAddr(family, val[groupAt:])
	if !ok {
		return wrong
	}
	t := mcastTarget{nic: tcpip.NICID(int32(binary.NativeEndian.Uint32(val))), group: group}
	if join {
		return k.join(t, false)
	}
	return k.leave(t)
}

// groupAddr reads the address of a sockaddr_storage of the family.
func groupAddr(family int, b []byte) (tcpip.Address, bool) {
	got, _ := sockaddrFamily(b)
	switch {
	case got != family:
		return tcpip.Address{}, false
	case family == syscall.AF_INET:
		return tcpip.AddrFrom4([4]byte(b[4:])), true
	}
	return tcpip.AddrFrom16([16]byte(b[8:])), true
}

func (k *socket) addSource4(val []byte) syscall.Errno {
	t, source, e := source4(val)
	if e != 0 {
		return e
	}
	return k.joinSourceGroup(t, source)
}

func (k *socket) dropSource4(val []byte) syscall.Errno { return k.source4(val, true, false) }

func (k *socket) blockSource4(val []byte) syscall.Errno { return k.source4(val, false, true) }

func (k *socket) unblockSource4(val []byte) syscall.Errno { return k.source4(val, false, false) }

func (k *socket) source4(val []byte, include, add bool) syscall.Errno {
	t, source, e := source4(val)
	if e != 0 {
		return e
	}
	return k.changeSource(t, source, include, add)
}

// source4 reads struct ip_mreq_source: group, interface, source.
func source4(val []byte) (t mcastTarget, source tcpip.Address, e syscall.Errno) {
	if len(val) != mreqSourceSize {
		return t, source, syscall.EINVAL
	}
	t.group, t.iface = tcpip.AddrFrom4([4]byte(val)), addr4(val[4:8])
	return t, tcpip.AddrFrom4([4]byte(val[8:])), 0
}

func (k *socket) joinSource(family int, val []byte) syscall.Errno {
	t, source, e := k.groupSource(family, val)
	if e != 0 {
		return e
	}
	return k.joinSourceGroup(t, source)
}

func (k *socket) leaveSource(family int, val []byte) syscall.Errno {
	return k.anySource(family, val, true, false)
}

func (k *socket) blockSource(family int, val []byte) syscall.Errno {
	return k.anySource(family, val, false, true)
}

func (k *socket) unblockSource(family int, val []byte) syscall.Errno {
	return k.anySource(family, val, false, false)
}

func (k *socket) anySource(family int, val []byte, include, add bool) syscall.Errno {
	t, source, e := k.groupSource(family, val)
	if e != 0 {
		return e
	}
	return k.changeSource(t, source, include, add)
}

// groupSource reads struct group_source_req.
func (k *socket) groupSource(family int, val []byte) (t mcastTarget, source tcpip.Address, e syscall.Errno) {
	if len(val) < groupSourceSize {
		return t, source, syscall.EINVAL
	}
	t.nic = tcpip.NICID(int32(binary.NativeEndian.Uint32(val)))
	var ok, too bool
	t.group, ok = groupAddr(family, val[groupAt:])
	source, too = groupAddr(family, val[groupSourceAt:])
	if !ok || !too {
		return t, source, syscall.EADDRNOTAVAIL
	}
	return t, source, 0
}

// The modes of a filter, linux/in.h.
const (
	mcastExclude = 0
	mcastInclude = 1
)

// setSources4 is IP_MSFILTER: struct ip_msfilter has group, interface, mode, number of sources.
func (k *socket) setSources4(val []byte) syscall.Errno {
	if len(val) < msfilterSize {
		return syscall.EINVAL
	}
	t := mcastTarget{group: tcpip.AddrFrom4([4]byte(val)), iface: addr4(val[4:8])}
	n := binary.NativeEndian.Uint32(val[12:])
	if n > maxSources {
		return syscall.ENOBUFS
	}
	if uint32(len(val)-msfilterSize) < 4*n {
		return syscall.EINVAL
	}
	f, e := filterMode(binary.NativeEndian.Uint32(val[8:]))
	for i := range int(n) {
		f.sources = append(f.sources, tcpip.AddrFrom4([4]byte(val[msfilterSize+4*i:])))
	}
	if e != 0 {
		return e
	}
	return k.replaceSources(t, f)
}

func filterMode(mode uint32) (sourceFilter, syscall.Errno) {
	if mode != mcastInclude && mode != mcastExclude {
		return sourceFilter{}, syscall.EINVAL
	}
	return sourceFilter{include: mode == mcastInclude}, 0
}

// getSources4 is IP_MSFILTER: the buffer has the group and the room for sources, and gets the rest.
func (k *socket) getSources4(dst []byte) (int, syscall.Errno) {
	if len(dst) < msfilterSize {
		return 0, syscall.EINVAL
	}
	f, e := k.listSources(mcastTarget{group: tcpip.AddrFrom4([4]byte(dst)), iface: addr4(dst[4:8])})
	if e != 0 {
		return 0, e
	}
	room := min(int(binary.NativeEndian.Uint32(dst[12:])), len(f.sources), (len(dst)-msfilterSize)/4)
	binary.NativeEndian.PutUint32(dst[8:], uint32(boolInt(f.include)))
	binary.NativeEndian.PutUint32(dst[12:], uint32(len(f.sources)))
	for i, s := range f.sources[:room] {
		copy(dst[msfilterSize+4*i:], s.AsSlice())
	}
	return msfilterSize + 4*room, 0
}

// Offsets in struct group_filter.
const (
	groupModeAt  = 136
	groupCountAt = 140
)

// setSources is MCAST_MSFILTER.
func (k *socket) setSources(family int, val []byte) syscall.Errno {
	if len(val) < groupFilterSize {
		return syscall.EINVAL
	}
	n := binary.NativeEndian.Uint32(val[groupCountAt:])
	if n > maxSources {
		return syscall.ENOBUFS
	}
	if uint32(len(val)-groupFilterSize) < storageSize*n {
		return syscall.EINVAL
	}
	group, ok := groupAddr(family, val[groupAt:])
	if !ok {
		return syscall.EINVAL
	}
	f, e := filterMode(binary.NativeEndian.Uint32(val[groupModeAt:]))
	if e != 0 {
		return e
	}
	for i := range int(n) {
		source, ok := groupAddr(family, val[groupFilterSize+storageSize*i:])
		if !ok {
			return syscall.EINVAL
		}
		f.sources = append(f.sources, source)
	}
	return k.replaceSources(mcastTarget{nic: tcpip.NICID(int32(binary.NativeEndian.Uint32(val))), group: group}, f)
}

// getSources is MCAST_MSFILTER.
func (k *socket) getSources(family int, dst []byte) (int, syscall.Errno) {
	if len(dst) < groupFilterSize {
		return 0, syscall.EINVAL
	}
	group, ok := groupAddr(family, dst[groupAt:])
	if !ok && family == syscall.AF_INET6 {
		return 0, syscall.EADDRNOTAVAIL
	} else if !ok {
		return 0, syscall.EINVAL
	}
	f, e := k.listSources(mcastTarget{nic: tcpip.NICID(int32(binary.NativeEndian.Uint32(dst))), group: group})
	if e != 0 {
		return 0, e
	}
	room := min(int(binary.NativeEndian.Uint32(dst[groupCountAt:])), len(f.sources), (len(dst)-groupFilterSize)/storageSize)
	binary.NativeEndian.PutUint32(dst[groupModeAt:], uint32(boolInt(f.include)))
	binary.NativeEndian.PutUint32(dst[groupCountAt:], uint32(len(f.sources)))
	for i, s := range f.sources[:room] {
		at := dst[groupFilterSize+storageSize*i:][:storageSize]
		clear(at)
		encodeSockaddr(family, tcpip.FullAddress{Addr: s}, at)
	}
	return groupFilterSize + storageSize*room, 0
}
