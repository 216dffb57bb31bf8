package vm

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// These ports lie below those that systems give to sockets without a choice of their own
// (ip_local_port_range, ip(7)): nobody gets one between this process's look and the VMM's bind.
const firstPort, portCount = 20000, 12000

var portsTried atomic.Uint32

// FreePort returns a port of the loopback interface, of TCP or UDP, that a VMM can bind.
func FreePort(t testing.TB) int {
	t.Helper()
	for range portCount {
		port := firstPort + (os.Getpid()*61+int(portsTried.Add(1)))%portCount // two processes start apart
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		u, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		u.Close()
		if l, err := net.Listen("tcp4", addr); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
