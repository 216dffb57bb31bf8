package netcalls

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/packetsock"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/net"
)

// startPackets lets programs attach filters to Internet and netlink sockets, and makes packet sockets.
func startPackets() {
	net.Stack.UseFilters(bpf.NewFilter)
	net.Netlink.UseFilters(bpf.NewFilter)
	f := packetsock.New(net.Stack, bpf.NewFilter)
	wiring.Kernel.RegisterSocketFamily(syscall.AF_PACKET, f.Socket)
	wiring.Kernel.SetFile("/proc/net/packet", f.Proc)
	wiring.Kernel.SetFile("/proc/net/dev_mcast", f.ProcGroups)
}
