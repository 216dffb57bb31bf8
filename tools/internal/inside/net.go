package inside

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// A Socket is a line of /proc/net/tcp and its like (proc_pid_net(5)).
type Socket struct {
	Kind      string `json:"kind"`  // tcp, udp, raw, icmp or unix; with a 6 behind it those of IPv6
	State     string `json:"state"` // as ss(8) prints it
	RecvQueue uint64 `json:"recvQueueBytes"`
	SendQueue uint64 `json:"sendQueueBytes"`
	Local     string `json:"local"` // ADDRESS:PORT, or a path
	Peer      string `json:"peer"`  // ADDRESS:PORT, or empty
	Inode     uint64 `json:"inode"` // as the files of the program show it
}

// socketFiles are the files that tell of sockets.
var socketFiles = []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "icmp", "icmp6"}

// states of TCP, by number (include/net/tcp_states.h of Linux).
var states = []string{"", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING", "SYN-RECV"}

// Sockets asks for the sockets.
func (s *Session) Sockets() ([]Socket, error) {
	list := []Socket{}
	for _, kind := range socketFiles {
		text, err := s.Text("read /proc/1/net/" + kind)
		if err != nil {
			return nil, err
		}
		list = append(list, parseSockets(kind, text)...)
	}
	text, err := s.Text("read /proc/1/net/unix")
	if err != nil {
		return nil, err
	}
	return append(list, parseUnix(text)...), nil
}

// rows returns the lines after the first, in words. Lines with fewer than that many are left out.
func rows(text string, least int) (list [][]string) {
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= least {
			list = append(list, f)
		}
	}
	return list
}

func parseSockets(kind, text string) (list []Socket) {
	for _, f := range rows(text, 10) {
		local, ok := socketAddress(f[1])
		peer, ok2 := socketAddress(f[2])
		state, err := strconv.ParseUint(f[3], 16, 8)
		if !ok || !ok2 || err != nil || state >= uint64(len(states)) {
			continue
		}
		send, receive, _ := strings.Cut(f[4], ":")
		k := Socket{Kind: kind, State: states[state], Local: local.String(), Peer: peer.String()}
		k.SendQueue, _ = strconv.ParseUint(send, 16, 32)
		k.RecvQueue, _ = strconv.ParseUint(receive, 16, 32)
		k.Inode, _ = strconv.ParseUint(f[9], 10, 64)
		list = append(list, k)
	}
	return list
}

// socketAddress reads ADDRESS:PORT in hexadecimal digits.
func socketAddress(s string) (netip.AddrPort, bool) {
	a, p, _ := strings.Cut(s, ":")
	addr, ok := wordsAddress(a)
	port, err := strconv.ParseUint(p, 16, 16)
	return netip.AddrPortFrom(addr, uint16(port)), ok && err == nil
}

// wordsAddress reads an address in 32-bit words of the byte order of x86.
func wordsAddress(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:]))
	}
	return netip.AddrFromSlice(b)
}

// parseUnix reads /proc/net/unix (unix(7)): Num, RefCount, Protocol, Flags, Type, St, Inode, Path.
func parseUnix(text string) (list []Socket) {
	for _, f := range rows(text, 7) {
		flags, err := strconv.ParseUint(f[3], 16, 32)
		state, err2 := strconv.ParseUint(f[5], 16, 8)
		if err != nil || err2 != nil {
			continue
		}
		const accepts, connected = 0x10000, 3 // __SO_ACCEPTCON, SS_CONNECTED
		k := Socket{Kind: "unix", State: "UNCONN"}
		if flags&accepts != 0 {
			k.State = "LISTEN"
		} else if state == connected {
			k.State = "ESTAB"
		}
		if len(f) > 7 {
			k.Local = f[7]
		}
		k.Inode, _ = strconv.ParseUint(f[6], 10, 64)
		list = append(list, k)
	}
	return list
}

// A Route is a line of /proc/net/route or ipv6_route.
type Route struct {
	Destination string `json:"destination"` // ADDRESS/BITS
	Gateway     string `json:"gateway"`     // empty if the destination is on the link
	Interface   string `json:"interface"`
	Metric      uint64 `json:"metric"`
}

// Routes asks for the routes.
func (s *Session) Routes() ([]Route, error) {
	four, err := s.Text("read /proc/1/net/route")
	if err != nil {
		return nil, err
	}
	six, err := s.Text("read /proc/1/net/ipv6_route")
	if err != nil {
		return nil, err
	}
	return append(parseRoutes(four), parseRoutes6(six)...), nil
}

// parseRoutes reads /proc/net/route: Iface, Destination, Gateway, Flags, RefCnt, Use, Metric, Mask, and more.
func parseRoutes(text string) []Route {
	list := []Route{}
	for _, f := range rows(text, 8) {
		to, ok := wordsAddress(f[1])
		via, ok2 := wordsAddress(f[2])
		mask, ok3 := wordsAddress(f[7])
		if !ok || !ok2 || !ok3 || !mask.Is4() {
			continue
		}
		bits := 0
		for m := binary.BigEndian.Uint32(mask.AsSlice()); m != 0; m <<= 1 {
			bits++
		}
		r := Route{Destination: netip.PrefixFrom(to, bits).String(), Interface: f[0]}
		r.setGateway(via)
		r.Metric, _ = strconv.ParseUint(f[6], 10, 32)
		list = append(list, r)
	}
	return list
}

func (r *Route) setGateway(via netip.Addr) {
	if !via.IsUnspecified() {
		r.Gateway = via.String()
	}
}

// parseRoutes6 reads /proc/net/ipv6_route: destination and bits, source and bits, gateway, metric, references, use, flags, interface.
func parseRoutes6(text string) (list []Route) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		to, err := hex.DecodeString(f[0])
		via, err2 := hex.DecodeString(f[4])
		bits, err3 := strconv.ParseUint(f[1], 16, 8)
		if err != nil || err2 != nil || err3 != nil || len(to) != 16 || len(via) != 16 || bits > 128 {
			continue
		}
		r := Route{Destination: netip.PrefixFrom(netip.AddrFrom16([16]byte(to)), int(bits)).String(), Interface: f[9]}
		r.setGateway(netip.AddrFrom16([16]byte(via)))
		r.Metric, _ = strconv.ParseUint(f[5], 16, 32)
		list = append(list, r)
	}
	return list
}
