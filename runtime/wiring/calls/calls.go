// Package calls gives the kernel the handlers of the system calls that only some programs can make,
// and unix sockets. It is linked into programs with a package outside of the standard library that
// imports syscall or golang.org/x/sys/unix (runtime/machine/linked), and with package net.
package calls

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/unixsock"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

func init() {
	kernel.AddCalls()
	UnixSockets()
}

var (
	owner *kernel.Kernel // of sockets: tests have several kernels
	unix  *unixsock.Family
)

// UnixSockets returns the machine's unix sockets.
func UnixSockets() *unixsock.Family {
	k := wiring.Kernel
	if owner != k {
		owner = k
		unix = unixsock.New(k, func() syscall.Ucred { return syscall.Ucred{Pid: 1} })
		k.RegisterSocketFamily(syscall.AF_UNIX, unix.Socket)
		k.RegisterSocketPair(syscall.AF_UNIX, unix.Pair)
	}
	return unix
}
