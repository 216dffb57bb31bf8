package vm

import (
	"fmt"
	"net"
	"testing"
)

// Cable is the other end of a guest's network card: each frame is a UDP datagram.
type Cable struct {
	*net.UDPConn
	Flag string // the value of yolk run -net
}

// NewCable makes a cable on the loopback interface, which ends with the test.
func NewCable(t testing.TB) *Cable {
	t.Helper()
	loopback := net.IPv4(127, 0, 0, 1)
	guest := &net.UDPAddr{IP: loopback, Port: FreePort(t)}
	// Connected, so that it receives no other datagrams of this host.
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: loopback}, guest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Cable{c, fmt.Sprintf("udp:%d:%d", guest.Port, c.LocalAddr().(*net.UDPAddr).Port)}
}
