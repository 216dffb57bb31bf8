package netcalls

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/vsock"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// addVsock makes sockets of AF_VSOCK, and /dev/vsock, whose minor number Linux gives when it is made.
func addVsock() {
	wiring.Kernel.RegisterSocketFamily(vsock.AddressFamily, vsock.New().Socket)
	wiring.Kernel.AddDevice(kernel.DeviceNode{
		Name: "vsock", Mode: syscall.S_IFCHR | 0o666, Major: 10, Minor: 121, Driver: "misc", Open: vsock.Open,
	})
}
