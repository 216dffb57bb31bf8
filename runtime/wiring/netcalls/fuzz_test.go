package netcalls

import (
	"encoding/binary"
	"syscall"
	"testing"
)

// FuzzChanges: no sequence of changes harms the stack, which has two cards of programs. Each begins with
// a byte that says whether it is a netlink request or an ioctl, and a byte with its length.
func FuzzChanges(f *testing.F) {
	seed := func(list ...[]byte) {
		var b []byte
		for _, m := range list {
			b = append(append(b, 0, byte(len(m))), m...)
		}
		f.Add(b)
	}
	add := func(family, bits int, addr string) []byte {
		return message(syscall.RTM_NEWADDR, create, addrHeader(family, bits, 0, 2), attr{syscall.IFA_LOCAL, ip(addr)}, attr{syscall.IFA_ADDRESS, ip(addr)})
	}
	up := message(syscall.RTM_NEWLINK, 0, linkHeader(2, syscall.IFF_UP, syscall.IFF_UP))
	route := message(syscall.RTM_NEWROUTE, create|replace, routeHeader(in4, 24), attr{syscall.RTA_DST, ip("10.9.0.0")}, attr{syscall.RTA_GATEWAY, ip("10.1.0.2")})
	seed(up, add(in4, 24, "10.1.0.1"), add(in6, 64, "fd00::1"), route)
	seed(up, add(in4, 32, "10.1.0.1"), message(syscall.RTM_DELADDR, 0, addrHeader(in4, 32, 0, 2), attr{syscall.IFA_LOCAL, ip("10.1.0.1")}))
	seed(up, message(syscall.RTM_NEWROUTE, create, routeHeader(in6, 64), attr{syscall.RTA_DST, ip("fd09::")}, attr{syscall.RTA_OIF, le32(2)}),
		message(syscall.RTM_DELROUTE, 0, routeHeader(in6, 64), attr{syscall.RTA_DST, ip("fd09::")}))
	seed(message(syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), attr{syscall.IFLA_MTU, le32(1280)}, attr{syscall.IFLA_IFNAME, []byte("x\x00")}),
		message(syscall.RTM_DELLINK, 0, linkHeader(2, 0, 0)))
	seed(message(syscall.RTM_NEWNEIGH, create, append(append([]byte{in4, 0, 0, 0}, le32(3)...), 0x80, 0, 0, 0), attr{1, ip("10.1.0.2")}, attr{2, []byte{2, 0, 0, 0, 0, 1}}))
	ifreq := make([]byte, 42)
	binary.NativeEndian.PutUint16(ifreq, syscall.SIOCSIFADDR)
	copy(ifreq[2:], "t1")
	copy(ifreq[18:], append(le16(in4), 0, 0, 10, 7, 0, 1))
	f.Add(append([]byte{1, 42}, ifreq...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, w := onlyMachine(t)
		w.tun("t0", iffTun|iffNoPI)
		w.tun("t1", iffTap|iffNoPI)
		s := w.must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_NONBLOCK, syscall.NETLINK_ROUTE)
		u := w.must(syscall.SYS_SOCKET, in4, syscall.SOCK_DGRAM, 0)
		for len(b) >= 2 {
			n := min(int(b[1]), len(b)-2)
			one := append([]byte(nil), b[2:2+n]...)
			if b[0]&1 == 0 || n < 2 {
				w.call(syscall.SYS_SENDTO, s, one, n, 0, 0, 0)
			} else {
				r := make([]byte, 40)
				copy(r, one[2:])
				w.call(syscall.SYS_IOCTL, u, int(binary.NativeEndian.Uint16(one)), r)
			}
			b = b[2+n:]
		}
		for _, typ := range []int{syscall.RTM_GETLINK, syscall.RTM_GETADDR, syscall.RTM_GETROUTE} {
			if got := w.ask(message(typ, syscall.NLM_F_DUMP, make([]byte, 16))); len(got) == 0 && typ == syscall.RTM_GETLINK {
				t.Error("no interfaces are left")
			}
		}
	})
}
