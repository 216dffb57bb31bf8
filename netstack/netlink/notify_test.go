package netlink

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
)

// changing is a source that a test changes.
type changing struct {
	mu    sync.Mutex
	links []Interface
	routs []Route
}

func (c *changing) Interfaces() []Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.links)
}

func (c *changing) Routes() []Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.routs)
}

func (*changing) Neighbors() []Neighbor { return nil }

func (c *changing) change(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
}

// typesOf reads n messages and returns their types.
func typesOf(t *testing.T, s kernel.Socket, n int) (types []uint16) {
	t.Helper()
	came := make(chan struct{}, 100)
	w := &kernel.Waiter{Notify: func(kernel.Events) { came <- struct{}{} }}
	s.Queue().Add(w)
	defer s.Queue().Remove(w)
	b := make([]byte, 4096)
	for len(types) < n {
		m, e := s.Read(b, 0)
		switch {
		case e == 0 && m >= headerSize:
			types = append(types, binary.NativeEndian.Uint16(b[4:]))
			if flags := binary.NativeEndian.Uint16(b[6:]); flags != 0 {
				t.Errorf("a message has the flags %#x", flags)
			}
		case e == syscall.EAGAIN:
			select {
			case <-came:
			case <-time.After(10 * time.Second):
				t.Fatalf("only %v came", types)
			}
		default:
			t.Fatalf("Read = %d, %v", m, e)
		}
	}
	return types
}

func TestNotifications(t *testing.T) {
	c := &changing{links: machine{}.Interfaces(), routs: machine{}.Routes()}
	f := New(c, 1)
	socket := func(groups uint32) kernel.Socket {
		t.Helper()
		s, e := f.Socket(syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
		if e != 0 {
			t.Fatal(e)
		}
		var addr [16]byte
		formatAddr(addr[:], 0, groups)
		if e := s.Bind(addr[:sockaddrSize]); e != 0 {
			t.Fatal(e)
		}
		return s
	}
	all := socket(groupLink | groupIPv4Addr | groupIPv4Route | groupIPv6Addr | groupIPv6Route)
	routes := socket(groupIPv4Route)
	f.Changed() // nothing has
	lease := Address{Prefix: netip.MustParsePrefix("10.9.0.1/24")}
	c.change(func() {
		c.links[1].Addresses = append(slices.Clone(c.links[1].Addresses), lease)
		c.routs = append(c.routs, Route{Destination: netip.MustParsePrefix("10.9.0.0/24"), Interface: 2})
	})
	f.Changed()
	if got := typesOf(t, all, 2); !slices.Equal(got, []uint16{syscall.RTM_NEWADDR, syscall.RTM_NEWROUTE}) {
		t.Errorf("an address and a route came: %v", got)
	}
	if got := typesOf(t, routes, 1); !slices.Equal(got, []uint16{syscall.RTM_NEWROUTE}) {
		t.Errorf("the subscriber to routes got %v", got)
	}
	c.change(func() { c.links[1].Flags &^= syscall.IFF_RUNNING })
	f.Changed()
	if got := typesOf(t, all, 1); !slices.Equal(got, []uint16{syscall.RTM_NEWLINK}) {
		t.Errorf("a card went down: %v", got)
	}
	c.change(func() { c.links, c.routs = c.links[:1], nil })
	f.Changed()
	if got := typesOf(t, all, 6); !slices.Equal(got, []uint16{syscall.RTM_DELADDR, syscall.RTM_DELADDR, syscall.RTM_DELLINK,
		syscall.RTM_DELROUTE, syscall.RTM_DELROUTE, syscall.RTM_DELROUTE}) {
		t.Errorf("a card was removed: %v", got)
	}
	all.Release()
	routes.Release()
	if len(f.subscribers.sockets) != 0 {
		t.Errorf("%d subscribers are left", len(f.subscribers.sockets))
	}
}
