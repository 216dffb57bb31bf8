package packetsock

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
)

// Proc is /proc/net/packet: packet_seq_show in Linux's net/packet/af_packet.c. The address of a socket is
// not shown, and its user is root.
func (f *Family) Proc() []byte {
	b := []byte("sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n")
	for _, s := range f.all() {
		f.mu.Lock()
		h := s.hook
		f.mu.Unlock()
		s.mu.Lock()
		held := s.held
		s.mu.Unlock()
		running, references := 0, 2
		if h.running {
			running, references = 1, 3
		}
		b = fmt.Appendf(b, "%016x %-6d %-4d %04x   %-5d %1d %-6d %-6d %-6d\n", 0, references, s.typ, h.protocol, h.index, running, held, 0, s.inode)
	}
	return b
}

// ProcGroups is /proc/net/dev_mcast, proc_pid_net(5): the multicast addresses that the stack and packet sockets
// receive on each interface, and how many of them do.
func (f *Family) ProcGroups() []byte {
	var b []byte
	names := f.net.InterfaceNames()
	for _, index := range slices.Sorted(maps.Keys(names)) {
		users := make(map[string]int)
		for _, a := range f.net.GroupAddresses(index) {
			users[a]++
		}
		f.mu.Lock()
		for m, n := range f.members {
			if m.index == index && m.typ == syscall.PACKET_MR_MULTICAST {
				users[string(m.address[:m.length])] += n
			}
		}
		f.mu.Unlock()
		for _, a := range slices.Sorted(maps.Keys(users)) {
			b = fmt.Appendf(b, "%-4d %-15s %-5d %-5d %x\n", index, names[index], users[a], 0, a)
		}
	}
	return b
}
