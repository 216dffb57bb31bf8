package packetsock

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

func member(k kernel.Socket, option, index, typ int, mac []byte) syscall.Errno {
	b := make([]byte, 16)
	b[0], b[4], b[6] = byte(index), byte(typ), byte(len(mac))
	copy(b[8:], mac)
	return k.SetOption(syscall.SOL_PACKET, option, b)
}

// Frames of other stations are received while some socket wants the card to pass them.
func TestOtherStations(t *testing.T) {
	m := newStackMachine(t)
	k, other := m.open(syscall.SOCK_RAW, typeAll, 2), m.open(syscall.SOCK_RAW, typeTest, 0)
	third := []byte{0x52, 0x54, 0, 0, 0, 9}
	comes := func(what string, want ...string) {
		t.Helper()
		m.inject(frame(otherMAC, peerMAC, typeTest, "one"))
		m.inject(frame(third, peerMAC, typeTest, "two"))
		for _, k := range []kernel.Socket{k, other} {
			var got []string
			for {
				b := make([]byte, 100)
				n, e := k.Read(b, -1)
				if e != 0 {
					break
				}
				got = append(got, string(b[headerSize:n]))
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s: %q came; want %q", what, got, want)
			}
		}
	}
	comes("no membership")
	m.ok("multicast", member(k, syscall.PACKET_ADD_MEMBERSHIP, 2, syscall.PACKET_MR_ALLMULTI, nil))
	m.ok("promiscuous lo", member(k, syscall.PACKET_ADD_MEMBERSHIP, 1, syscall.PACKET_MR_PROMISC, nil))
	comes("other memberships")
	for range 2 {
		m.ok("unicast", member(k, syscall.PACKET_ADD_MEMBERSHIP, 2, mrUnicast, otherMAC))
	}
	comes("unicast", "one")
	m.ok("unicast, once", member(k, syscall.PACKET_DROP_MEMBERSHIP, 2, mrUnicast, otherMAC))
	comes("unicast, added twice and dropped once", "one")
	m.ok("unicast", member(k, syscall.PACKET_DROP_MEMBERSHIP, 2, mrUnicast, otherMAC))
	comes("unicast, dropped")
	holder, _ := m.socket(syscall.SOCK_RAW, 0)
	for _, s := range []kernel.Socket{k, holder} {
		m.ok("promiscuous", member(s, syscall.PACKET_ADD_MEMBERSHIP, 2, syscall.PACKET_MR_PROMISC, nil))
	}
	comes("promiscuous", "one", "two")
	m.ok("promiscuous", member(k, syscall.PACKET_DROP_MEMBERSHIP, 2, syscall.PACKET_MR_PROMISC, nil))
	comes("promiscuous for another socket", "one", "two")
	holder.Release()
	comes("that socket is closed")
}

func statistics(t *testing.T, k kernel.Socket) (frames, lost uint32) {
	t.Helper()
	b := make([]byte, 8)
	if n, e := k.GetOption(syscall.SOL_PACKET, syscall.PACKET_STATISTICS, b); e != 0 || n != 8 {
		t.Fatalf("PACKET_STATISTICS = %d bytes, %v", n, e)
	}
	return binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
}

// A queue holds as much as SO_RCVBUF says, by the memory that it keeps, and what does not fit is counted.
func TestQueueIsBounded(t *testing.T) {
	m := newStackMachine(t)
	k := m.open(syscall.SOCK_RAW, typeTest, 2)
	m.setInt(k, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 10_000)
	m.setInt(k, syscall.SOL_SOCKET, solsocket.RxqOvfl, 1)
	const sent = 1000
	for range sent {
		m.inject(frame(ownMAC, peerMAC, typeTest, "."))
	}
	s := k.(*socket)
	if len(s.packets) > 20_000/100 || s.held > 20_000+500 {
		t.Errorf("%d frames of 15 bytes are held as %d bytes; want less than 200, and no more than the buffer's 20000 bytes", len(s.packets), s.held)
	}
	kept := uint32(len(s.packets))
	if frames, lost := statistics(t, k); frames != sent || lost != sent-kept {
		t.Errorf("PACKET_STATISTICS = %d frames, %d lost; want %d and %d", frames, lost, sent, sent-kept)
	}
	if frames, lost := statistics(t, k); frames != 0 || lost != 0 {
		t.Errorf("PACKET_STATISTICS is then %d frames, %d lost; want none", frames, lost)
	}
	for range kept {
		m.ok("read", second(k.Read(make([]byte, 100), -1)))
	}
	if s.held != 0 {
		t.Errorf("an empty queue holds %d bytes", s.held)
	}
	m.inject(frame(ownMAC, peerMAC, typeTest, "."))
	m.lines = nil
	m.receive(k, 100, 0)
	if want := " (1 40: "; !strings.Contains(m.lines[0], want) {
		t.Errorf("the next frame is %q; want a count of frames that were lost, SO_RXQ_OVFL", m.lines[0])
	}
}

// What a queue counts is what it keeps.
func TestChargeIsWhatIsKept(t *testing.T) {
	for _, size := range []int{15, 100, 700, 1514} {
		m := newStackMachine(t)
		k := m.open(syscall.SOCK_RAW, typeTest, 2)
		m.setInt(k, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 1<<30)
		f := frame(ownMAC, peerMAC, typeTest, strings.Repeat("x", size-headerSize))
		before := heap()
		const frames = 5000
		for range frames {
			m.inject(f)
		}
		grown, held := int(heap()-before), k.(*socket).held
		if grown > held+held/4 || grown < held/2 {
			t.Errorf("%d frames of %d bytes take %d bytes and are counted as %d", frames, size, grown, held)
		}
		runtime.KeepAlive(k)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // and what pools have kept
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// boundedNetwork is a network that holds no more than some bytes.
type boundedNetwork struct {
	Network
	mu   sync.Mutex
	left int
}

func (n *boundedNetwork) HoldDatagrams(size int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if size > n.left {
		return false
	}
	n.left -= size
	return true
}

// What all queues hold is counted by the stack, and given back when a socket is closed.
func TestMemoryIsCounted(t *testing.T) {
	s := netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }})
	t.Cleanup(s.Close)
	const room = 5000
	n := &boundedNetwork{Network: s, left: room}
	f := New(n, bpf.NewFilter)
	k, e := f.Socket(syscall.SOCK_RAW, int(swap16(typeTest)))
	if e != 0 {
		t.Fatal(e)
	}
	lo := frame(noMAC, noMAC, typeTest, strings.Repeat("x", 1000))
	for range 10 {
		if _, e := k.Send(&kernel.Message{Buffers: [][]byte{lo}, Addr: sockaddr(typeTest, 1)}, 0); e != 0 {
			t.Fatal(e)
		}
	}
	if frames, lost := statistics(t, k); frames != 10 || lost < 5 || lost > 7 {
		t.Errorf("of %d frames of 1 KB %d are lost with room for 5000 bytes; want some 6 of 10", frames, lost)
	}
	k.Release()
	if n.left != room {
		t.Errorf("a closed socket holds %d bytes", room-n.left)
	}
}

// Frames are not watched unless a socket receives.
func TestNobodyWatches(t *testing.T) {
	s := netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }})
	t.Cleanup(s.Close)
	w := &watchCounter{Network: s}
	f := New(w, bpf.NewFilter)
	want := func(what string, on bool) {
		t.Helper()
		if w.on != on {
			t.Errorf("%s: watched: %t", what, w.on)
		}
	}
	silent, _ := f.Socket(syscall.SOCK_RAW, 0)
	want("a socket without a protocol", false)
	if e := silent.Bind(sockaddr(typeAll, 1)); e != 0 {
		t.Fatal(e)
	}
	want("it is bound", true)
	other, _ := f.Socket(syscall.SOCK_DGRAM, 0x300)
	silent.Release()
	want("another socket", true)
	other.Release()
	want("all are closed", false)
}

type watchCounter struct {
	Network
	on bool
}

func (w *watchCounter) Watch(f func(*netstack.WatchedFrame)) {
	w.on = f != nil
	w.Network.Watch(f)
}

// Sockets are opened, bound, filtered and closed while frames pass.
func TestConcurrentUse(t *testing.T) {
	m := newStackMachine(t)
	stop := make(chan struct{})
	var frames, users sync.WaitGroup
	frames.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.inject(frame(ownMAC, peerMAC, typeTest, "frame"))
			}
		}
	})
	frames.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-m.sent:
			}
		}
	})
	for range 4 {
		users.Go(func() {
			for range 100 {
				k, e := m.socket(syscall.SOCK_RAW, 0x300)
				if e != 0 {
					t.Error(e)
					return
				}
				k.SetOption(syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER, filterOption(program(6, 0, 0, 20)))
				member(k, syscall.PACKET_ADD_MEMBERSHIP, 2, syscall.PACKET_MR_PROMISC, nil)
				k.Bind(sockaddr(typeTest, 2))
				k.Write(frame(peerMAC, ownMAC, typeTest, "from here"), -1)
				k.Read(make([]byte, 100), -1)
				k.Readiness()
				k.Release()
			}
		})
	}
	users.Wait()
	close(stop)
	frames.Wait()
}

// Whatever frames come, and whatever a program says in addresses, options and control messages: nothing
// panics, and a cooked socket gets what a raw one gets, without the header.
func FuzzFrames(f *testing.F) {
	f.Add(frame(ownMAC, peerMAC, typeTest, "data"), sockaddr(typeTest, 1, peerMAC...), program(6, 0, 0, 100))
	f.Add(frame(ownMAC, peerMAC, 0x8100, "\x00\x05\x81\x00\x00\x06\x08\x00data"), sockaddr(4, 1), program(0x30, 0, 0, 0xfffff03c, 0x16, 0, 0, 0))
	f.Add(frame(broadcastMAC, peerMAC, 3, "\xff\xff"), []byte{}, []byte{})
	s := netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }})
	family := New(s, bpf.NewFilter)
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, data, given, filter []byte) {
		raw, _ := family.Socket(syscall.SOCK_RAW, 0x300)
		cooked, _ := family.Socket(syscall.SOCK_DGRAM, 0x300)
		filtered, _ := family.Socket(syscall.SOCK_DGRAM, 0x300)
		defer raw.Release()
		defer cooked.Release()
		defer filtered.Release()
		if len(filter) != 0 {
			filtered.SetOption(syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER, filterOption(filter))
		}
		for _, k := range []kernel.Socket{filtered} {
			k.Bind(given)
			k.Send(&kernel.Message{Buffers: [][]byte{data}, Addr: given, Control: given}, 0)
			k.SetOption(syscall.SOL_PACKET, syscall.PACKET_ADD_MEMBERSHIP, given)
			k.SetOption(syscall.SOL_PACKET, syscall.PACKET_DROP_MEMBERSHIP, given)
			k.SetOption(syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, given)
		}
		for _, k := range []kernel.Socket{raw, cooked} {
			for e := syscall.Errno(0); e == 0; {
				_, e = k.Read(make([]byte, 1<<17), -1)
			}
		}
		raw.Send(&kernel.Message{Buffers: [][]byte{data}, Addr: sockaddr(typeAll, 1)}, 0)
		b, c := make([]byte, 1<<17), make([]byte, 1<<17)
		n, e := raw.Read(b, -1) // that which comes back: it has not seen what it sent
		if e != 0 {
			return
		}
		if n < headerSize {
			t.Fatalf("a frame of %d bytes", n)
		}
		for _, typ := range []uint8{bpf.Outgoing, 0} {
			got := c[:0]
			if k, e := cooked.Read(c, -1); e == 0 {
				got = c[:k]
			}
			if typ != bpf.Outgoing && !bytes.Equal(got, b[headerSize:n]) {
				t.Fatalf("cooked %x; raw %x", got, b[:n])
			}
			if n == headerSize {
				break
			}
		}
	})
}
