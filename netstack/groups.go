package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// This file has the multicast groups in /proc/net: igmp and igmp6.

// noteGroup records a group that a socket has joined: gVisor reports whether a card is in a
// group, but has no list.
func (s *Stack) noteGroup(group tcpip.Address) {
	a, ok := addrOf(group)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.groups, a) {
		return
	}
	s.groups = append(s.groups, a)
	if len(s.groups) >= 2*s.groupsLive+16 { // sockets also leave groups by closing
		s.groups = slices.DeleteFunc(s.groups, func(a netip.Addr) bool { return !s.anyInGroup(a) })
		s.groupsLive = len(s.groups)
	}
}

func (s *Stack) anyInGroup(group netip.Addr) bool {
	for id := range s.stack.NICInfo() {
		if s.inGroup(id, group) {
			return true
		}
	}
	return false
}

func (s *Stack) inGroup(id tcpip.NICID, group netip.Addr) bool {
	in, err := s.stack.IsInGroup(id, tcpipAddr(group))
	return err == nil && in
}

// joinedGroups returns the groups of one address family that interface i is in: all nodes,
// those of its addresses (RFC 4291 §2.7.1), and those that sockets have joined.
func (s *Stack) joinedGroups(i InterfaceInfo, v6 bool) []netip.Addr {
	var groups []netip.Addr
	add := func(a netip.Addr) {
		if a.Is6() == v6 && !slices.Contains(groups, a) && s.inGroup(tcpip.NICID(i.Index), a) {
			groups = append(groups, a)
		}
	}
	addRaw := func(group tcpip.Address) {
		a, _ := addrOf(group)
		add(a)
	}
	addRaw(header.IPv4AllSystems)
	addRaw(header.IPv6AllNodesMulticastAddress)
	for _, a := range i.Addrs {
		if a.Addr.Is6() {
			addRaw(header.SolicitedNodeAddr(tcpipAddr(a.Addr)))
		}
	}
	s.mu.Lock()
	joined := slices.Clone(s.groups)
	s.mu.Unlock()
	for _, a := range joined {
		add(a)
	}
	return groups
}

// procIgmp is /proc/net/igmp; its columns are those of igmp_mc_seq_show in Linux's
// net/ipv4/igmp.c. gVisor does not report users and timers: they are 1 and none.
func (s *Stack) procIgmp() []byte {
	b := []byte("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n")
	for _, i := range s.Interfaces() {
		groups := s.joinedGroups(i, false)
		if len(groups) == 0 {
			continue
		}
		b = append(b, strconv.Itoa(i.Index)+"\t"+pad(i.Name, 10, true)+": "+pad(strconv.Itoa(len(groups)), 5, false)+" "+pad("V3", 7, false)+"\n"...)
		for _, g := range groups {
			a := g.As4()
			b = append(b, "\t\t\t\t"+hex(uint64(binary.NativeEndian.Uint32(a[:])), 8)+" "+pad("1", 5, false)+" 0:00000000\t\t0\n"...)
		}
	}
	return b
}

// procIgmp6 is /proc/net/igmp6, as igmp6_mc_seq_show in net/ipv6/mcast.c.
func (s *Stack) procIgmp6() []byte {
	var b []byte
	for _, i := range s.Interfaces() {
		for _, g := range s.joinedGroups(i, true) {
			a := g.As16()
			addr := strings.ToLower(hex(binary.BigEndian.Uint64(a[:8]), 16) + hex(binary.BigEndian.Uint64(a[8:]), 16))
			b = append(b, pad(strconv.Itoa(i.Index), 4, true)+" "+pad(i.Name, 15, true)+" "+addr+" "+pad("1", 5, false)+" 00000004 0\n"...)
		}
	}
	return b
}
