package tun

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
)

// Connections pass a cable that two programs make of their cards, whatever stands before frames and
// whatever the programs take.
func TestTransfer(t *testing.T) {
	const all = offloadChecksum | offloadTSO4 | offloadTSO6
	for _, c := range []struct {
		name    string
		flags   uint16
		offload uint32
		large   bool // there are frames beyond the MTU
	}{
		{"tun", flagTun | flagNoPI, 0, false},
		{"tun with information", flagTun, 0, false},
		{"tun with header", flagTun | flagNoPI | flagHeader, 0, false},
		{"tun with checksums", flagTun | flagNoPI | flagHeader, offloadChecksum, false},
		{"tun with one family's segments", flagTun | flagNoPI | flagHeader, offloadChecksum | offloadTSO4, false},
		{"tun with segments", flagTun | flagNoPI | flagHeader, all, true},
		{"tun without a header for segments", flagTun | flagNoPI, all, false},
		{"tap", flagTap | flagNoPI, 0, false},
		{"tap with all", flagTap | flagHeader, all, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newEnd(t, c.flags, c.offload, "10.0.0.1/24", "fd00::1/64")
			y := newEnd(t, c.flags, c.offload, "10.0.0.2/24", "fd00::2/64")
			var largest atomic.Int64
			cable(t, x, y, func(b []byte) { largest.Store(max(largest.Load(), int64(len(b)))) })
			exchange(t, x, y, func() {})
			if most := int64(mtu + ethernet + infoSize + shortHeader); largest.Load() > most != c.large {
				t.Errorf("the largest frame has %d bytes", largest.Load())
			}
		})
	}
}

// cable carries frames between two cards until the test ends.
func cable(t *testing.T, x, y *end, see func(b []byte)) {
	stop, done := make(chan struct{}), make(chan struct{})
	for _, way := range [][2]*end{{x, y}, {y, x}} {
		go func() {
			defer func() { done <- struct{}{} }()
			carry(t, way[0].f, way[1].f, stop, see)
		}()
	}
	t.Cleanup(func() {
		close(stop)
		<-done
		<-done
	})
}

// exchange sends data both ways, over IPv4 and IPv6, and calls meanwhile with the first half.
func exchange(t *testing.T, x, y *end, meanwhile func()) {
	t.Helper()
	data := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{7})
	r.Read(data)
	for family, addr := range map[int]string{syscall.AF_INET: "10.0.0.2:80", syscall.AF_INET6: "[fd00::2]:80"} {
		client, server := x.connect(y, family, addr)
		go send(t, client, data)
		got := receive(t, server, len(data)/2)
		meanwhile()
		got = append(got, receive(t, server, len(data)-len(data)/2)...)
		go send(t, server, data)
		if back := receive(t, client, len(data)); !bytes.Equal(got, data) || !bytes.Equal(back, data) {
			t.Errorf("other bytes arrive at %s", addr)
		}
	}
}

// A program may take less than it said when a connection began: what is beyond that is cut.
func TestOffloadWithdrawn(t *testing.T) {
	const flags, all = flagTun | flagNoPI | flagHeader, offloadChecksum | offloadTSO4 | offloadTSO6
	x := newEnd(t, flags, all, "10.0.0.1/24", "fd00::1/64")
	y := newEnd(t, flags, all, "10.0.0.2/24", "fd00::2/64")
	var withdrawn atomic.Bool
	var cut, large atomic.Int64
	cable(t, x, y, func(b []byte) {
		if !withdrawn.Load() {
			return
		}
		if b[0]&needsChecksum != 0 || len(b) > mtu+shortHeader {
			large.Add(1)
		} else {
			cut.Add(1)
		}
	})
	exchange(t, x, y, func() {
		for _, z := range []*end{x, y} {
			if e := z.f.device.Load().setOffload(0); e != 0 {
				t.Fatal(e)
			}
		}
		large.Store(0)
		withdrawn.Store(true)
	})
	// A frame that was read before is written after.
	if cut.Load() < 100 || large.Load() > 2 {
		t.Errorf("%d frames as they are, %d with something left to do", cut.Load(), large.Load())
	}
}

// Frames for a program that does not read are dropped beyond the queue's length, and counted.
func TestQueueIsBounded(t *testing.T) {
	x := newEnd(t, flagTun|flagNoPI, 0, "10.0.0.1/24")
	const sockets, each = 15, 100 // a socket's own buffer has room for 200
	const sent = sockets * each
	for range sockets {
		k, e := x.s.NewSocket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		if e != 0 {
			t.Fatal(e)
		}
		defer k.Release()
		if e := k.Connect(sockaddr("10.0.0.9:9")); e != 0 {
			t.Fatal(e)
		}
		for range each {
			k.Write(make([]byte, 1000), -1) // ENOBUFS when it is dropped
		}
	}
	n, size := 0, 0
	for b := make([]byte, 2000); ; n++ {
		got, e := x.f.Read(b, -1)
		if e == syscall.EAGAIN {
			break
		}
		if e != 0 {
			t.Fatal(e)
		}
		size = got
	}
	var dropped uint64
	for _, i := range x.s.Interfaces() {
		if i.Name == "tun0" {
			dropped = i.Stats.TxDropped
		}
	}
	if n != tunQueue || size != 1028 || dropped != sent-tunQueue {
		t.Errorf("%d frames of %d bytes wait and %d are dropped; want %d of 1028 and %d", n, size, dropped, tunQueue, sent-tunQueue)
	}
}
