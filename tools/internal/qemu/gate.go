package qemu

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// gate decides what QEMU may reach for its guest. libslirp, QEMU's own network, takes a guest's
// connections to 10.0.2.2 (and to 127.0.0.1) to the host's loopback interface, where services trust
// whoever reaches them, and has no option against it in QEMU. So the kernel asks this process about
// each address that QEMU connects or sends to (seccomp_unotify(2)). The same filter keeps a guest from
// making set-user-ID files in the host's folders.
type gate struct {
	fd      int
	process func() int       // QEMU's pidfd
	allowed []netip.AddrPort // on the loopback interface
	refused func(netip.AddrPort)
	// forwards are the addresses of -p …/udp. A client that has sent a datagram to one gets its
	// answers.
	forwards []netip.AddrPort
	peers    map[netip.AddrPort]bool
}

// maxPeers bounds the peers that are remembered; more make it forget them all.
const maxPeers = 4096

// Offsets in struct seccomp_data, seccomp(2).
const (
	dataNR   = 0
	dataArch = 4
	dataArgs = 16
)

// setIDBits are S_ISUID and S_ISGID.
const setIDBits = 0o6000

// program returns the filter, in classic BPF.
func program(network, answers, files bool) []unix.SockFilter {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	p := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: jeq, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, // QEMU makes no 32-bit calls
		{Code: load, K: dataNR},
	}
	// rule: if the call is nr, and one of bits is set in a half of its argument, the action.
	rule := func(nr uint32, arg int, bits uint64, action uint32) {
		p = append(p,
			unix.SockFilter{Code: jeq, K: nr, Jf: 7},
			unix.SockFilter{Code: load, K: uint32(dataArgs + 8*arg)},
			unix.SockFilter{Code: jset, K: uint32(bits), Jf: 1},
			unix.SockFilter{Code: ret, K: action},
			unix.SockFilter{Code: load, K: uint32(dataArgs + 8*arg + 4)},
			unix.SockFilter{Code: jset, K: uint32(bits >> 32), Jf: 1},
			unix.SockFilter{Code: ret, K: action},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	}
	if files {
		const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		for nr, mode := range map[uint32]int{
			unix.SYS_CHMOD: 1, unix.SYS_FCHMOD: 1, unix.SYS_FCHMODAT: 2, sysFchmodat2: 2, unix.SYS_MKNODAT: 2,
			unix.SYS_OPEN: 2, unix.SYS_OPENAT: 3, unix.SYS_CREAT: 1,
		} {
			rule(nr, mode, setIDBits, refuse)
		}
	}
	if network {
		rule(unix.SYS_CONNECT, 1, math.MaxUint64, unix.SECCOMP_RET_USER_NOTIF)
		rule(unix.SYS_SENDTO, 4, math.MaxUint64, unix.SECCOMP_RET_USER_NOTIF) // with an address
	}
	if network && answers {
		rule(unix.SYS_RECVFROM, 4, math.MaxUint64, unix.SECCOMP_RET_USER_NOTIF)
	}
	return append(p, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}

const sysFchmodat2 = 452

// newGate puts the gate on this thread, which is to start QEMU and then to end; nil if nothing is to be
// kept.
func newGate(c *Config, process func() int, refused func(netip.AddrPort)) (*gate, error) {
	g := &gate{process: process, refused: refused, peers: map[netip.AddrPort]bool{}}
	g.allowed = append(resolvers("/etc/resolv.conf"), named(c.Extra)...)
	for _, f := range c.Forwards {
		if f.Proto == "udp" {
			g.forwards = append(g.forwards, f.Host)
		}
	}
	network, files := c.guardsLoopback(), os.Geteuid() == 0 && len(c.Folders) > 0
	if !network && !files {
		return nil, nil
	}
	var err error
	if g.fd, err = filterThread(program(network, len(g.forwards) > 0, files)); err != nil {
		return nil, fmt.Errorf("this host does not let yolk keep the guest from services of its loopback interface, and from set-user-ID files in folders (%w)", err)
	}
	for _, n := range c.Nets {
		if n.Kind == NetUDP {
			g.allowed = append(g.allowed, n.Remote)
		}
	}
	return g, nil
}

var namedAddress = regexp.MustCompile(`(?:127(?:\.\d{1,3}){3}|\[::1\]):\d{1,5}\b`)

// named returns the loopback addresses in QEMU's arguments that the user has given: a disk's server
// and the like.
func named(extra []string) (all []netip.AddrPort) {
	for _, text := range namedAddress.FindAllString(strings.Join(extra, " "), -1) {
		if a, err := netip.ParseAddrPort(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// resolvers returns the host's DNS servers, to which QEMU passes what the guest asks its own.
func resolvers(file string) (all []netip.AddrPort) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if w := strings.Fields(line); len(w) > 1 && w[0] == "nameserver" {
			if a, err := netip.ParseAddr(w[1]); err == nil {
				all = append(all, netip.AddrPortFrom(a, 53))
			}
		}
	}
	return all
}

// serve decides until QEMU has ended.
func (g *gate) serve() {
	defer unix.Close(g.fd)
	for {
		n, err := receive(g.fd)
		if err != nil {
			return
		}
		if answer(g.fd, n, g.decide(n)) != nil {
			return
		}
	}
}

// decide returns the error number of a call that may not be made, as of a host that is not there.
func (g *gate) decide(n notification) unix.Errno {
	addr, size := n.args[1], n.args[2]
	switch n.nr {
	case unix.SYS_RECVFROM:
		g.notePeer(int(n.args[0]))
		return 0
	case unix.SYS_SENDTO:
		addr, size = n.args[4], n.args[5]
	}
	b := make([]byte, min(size, unix.SizeofSockaddrInet6))
	if err := readMemory(int(n.pid), addr, b); err != nil {
		return unix.EFAULT
	}
	to, ok := sockaddr(b)
	if !ok || g.allows(to) {
		return 0
	}
	g.refused(to)
	return unix.ENETUNREACH
}

func (g *gate) allows(to netip.AddrPort) bool {
	a := to.Addr().Unmap()
	to = netip.AddrPortFrom(a, to.Port())
	return !a.IsLoopback() && !a.IsUnspecified() || g.peers[to] || slices.Contains(g.allowed, to)
}

// notePeer remembers who has sent the datagram that QEMU is about to receive, if it came to a forwarded
// port and from the loopback interface.
func (g *gate) notePeer(number int) {
	fd, err := unix.PidfdGetfd(g.process(), number, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	local, err := unix.Getsockname(fd)
	if err != nil || !slices.Contains(g.forwards, addrPort(local)) {
		return
	}
	_, from, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if peer := addrPort(from); err == nil && peer.Addr().IsLoopback() {
		if len(g.peers) >= maxPeers {
			clear(g.peers)
		}
		g.peers[peer] = true
	}
}

// addrPort returns the address of an IPv4 socket; -p has no other.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	if a, ok := sa.(*unix.SockaddrInet4); ok {
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// sockaddr reads a struct sockaddr of ip(7) or ipv6(7).
func sockaddr(b []byte) (netip.AddrPort, bool) {
	if len(b) < 2 {
		return netip.AddrPort{}, false
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET && len(b) >= 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])), true
	case family == unix.AF_INET6 && len(b) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])), true
	}
	return netip.AddrPort{}, false
}

// guardsLoopback reports whether the guest is to be kept from the host's loopback interface.
func (c *Config) guardsLoopback() bool {
	return slices.ContainsFunc(c.Nets, func(n Net) bool { return n.Kind == NetUser && !n.HostLoopback })
}

func (vm *VM) refused(to netip.AddrPort) {
	vm.kept.Do(func() {
		vm.remark("the guest is kept from %s, a service of this host's loopback interface; -net user:host-loopback opens it", to)
	})
}
