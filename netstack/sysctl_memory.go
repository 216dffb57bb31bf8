package netstack

import (
	"strconv"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// This file has the settings of buffers, in bytes.

// limits are the stack's bounds; those of a large machine if it has none.
func (s *Stack) limits() bounds {
	if s.cfg.Memory == 0 {
		return boundsOf(1 << 34)
	}
	return boundsOf(s.cfg.Memory)
}

// getMemory is tcp_mem and udp_mem, in pages: there is one bound, and no pressure before it.
func getMemory(s *Stack) string {
	n := strconv.Itoa(pagesOf(s.limits().sockets))
	return n + "\t" + n + "\t" + n
}

func triple(least, preset, most int) string {
	return strconv.Itoa(least) + "\t" + strconv.Itoa(preset) + "\t" + strconv.Itoa(most)
}

// parseTriple reads the least, the default and the largest size of a buffer.
func parseTriple(text string) (n [3]int, e syscall.Errno) {
	part := strings.Fields(text)
	if len(part) != len(n) {
		return n, syscall.EINVAL
	}
	least := 1
	for i, p := range part {
		if n[i], e = number(p, least, 1<<30); e != 0 {
			return n, e
		}
		least = n[i]
	}
	return n, 0
}

func getReceiveRange(s *Stack) string {
	var o tcpip.TCPReceiveBufferSizeRangeOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &o))
	return triple(o.Min, o.Default, o.Max)
}

func setReceiveRange(s *Stack, text string) syscall.Errno {
	n, e := parseTriple(text)
	if e != 0 {
		return e
	}
	o := tcpip.TCPReceiveBufferSizeRangeOption{Min: n[0], Default: n[1], Max: n[2]}
	return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &o))
}

func getSendRange(s *Stack) string {
	var o tcpip.TCPSendBufferSizeRangeOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &o))
	return triple(o.Min, o.Default, o.Max)
}

func setSendRange(s *Stack, text string) syscall.Errno {
	n, e := parseTriple(text)
	if e != 0 {
		return e
	}
	o := tcpip.TCPSendBufferSizeRangeOption{Min: n[0], Default: n[1], Max: n[2]}
	return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &o))
}

func getDatagramReceive(field func(*tcpip.ReceiveBufferSizeOption) *int) func(*Stack) string {
	return func(s *Stack) string {
		var o tcpip.ReceiveBufferSizeOption
		must(s.stack.Option(&o))
		return strconv.Itoa(*field(&o))
	}
}

func setDatagramReceive(field func(*tcpip.ReceiveBufferSizeOption) *int) func(*Stack, string) syscall.Errno {
	return func(s *Stack, text string) syscall.Errno {
		var o tcpip.ReceiveBufferSizeOption
		must(s.stack.Option(&o))
		n, e := number(text, o.Min, 1<<30)
		if e != 0 {
			return e
		}
		*field(&o) = n
		o.Max = max(o.Max, o.Default)
		return errnoOf(s.stack.SetOption(o))
	}
}

func getDatagramSend(field func(*tcpip.SendBufferSizeOption) *int) func(*Stack) string {
	return func(s *Stack) string {
		var o tcpip.SendBufferSizeOption
		must(s.stack.Option(&o))
		return strconv.Itoa(*field(&o))
	}
}

func setDatagramSend(field func(*tcpip.SendBufferSizeOption) *int) func(*Stack, string) syscall.Errno {
	return func(s *Stack, text string) syscall.Errno {
		var o tcpip.SendBufferSizeOption
		must(s.stack.Option(&o))
		n, e := number(text, o.Min, 1<<30)
		if e != 0 {
			return e
		}
		*field(&o) = n
		o.Max = max(o.Max, o.Default)
		return errnoOf(s.stack.SetOption(o))
	}
}
