package vm

import (
	"fmt"
	"net"
	"sync"
	"testing"
)

// Cables that are made at the same time have ports of their own, and those of the guests' ends stay free
// for the VMMs, whatever ports others are given meanwhile.
func TestCablesAtOnce(t *testing.T) {
	var all sync.WaitGroup
	flags := make([]string, 100)
	for i := range flags {
		all.Go(func() {
			c := NewCable(t)
			flags[i] = c.Flag
			other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // whom the system gives a port
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { other.Close() })
		})
	}
	all.Wait()
	for _, flag := range flags {
		var guest, own int
		if _, err := fmt.Sscanf(flag, "udp:%d:%d", &guest, &own); err != nil {
			t.Fatalf("%q: %v", flag, err)
		}
		l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: guest})
		if err != nil {
			t.Errorf("a guest's port is taken: %v", err)
			continue
		}
		defer l.Close() // no other guest has it
	}
}
