package netcalls

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/tun"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// addTun adds /dev/net/tun, with the numbers of Linux's admin-guide/devices.txt.
func addTun(s *netstack.Stack) *tun.Devices {
	d := tun.New(s, func(p []byte) { wiring.Random(p) })
	wiring.Kernel.AddDevice(kernel.DeviceNode{
		Name: "net/tun", Mode: syscall.S_IFCHR | 0o666, Major: 10, Minor: 200, Driver: "misc", Open: d.Open,
	})
	return d
}
