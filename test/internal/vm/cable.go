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
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	guest := free.LocalAddr().(*net.UDPAddr)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	own := c.LocalAddr().(*net.UDPAddr)
	c.Close()
	free.Close()
	// Connected, so that it receives no other datagrams of this host.
	if c, err = net.DialUDP("udp4", own, guest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Cable{c, fmt.Sprintf("udp:%d:%d", guest.Port, own.Port)}
}
