package packetsock

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// A machine has lo, which is interface 1, and a card with a cable that ends in the test, eth0, which is
// interface 2 and has 10.0.0.1/24. It keeps what a program sees as lines: the tests compare those of
// Linux with those of this package.
type machine struct {
	t      *testing.T
	socket func(typ, protocol int) (kernel.Socket, syscall.Errno)
	inject func(frame []byte)           // into the cable
	sent   chan []byte                  // out of it
	udp    func(to [4]byte, msg string) // sends a datagram to port 9
	remove func()                       // takes the card away
	up     func(on bool)                // switches it
	proc   func(name string) []byte     // a file of /proc/net
	lines  []string
}

var (
	ownMAC       = []byte{0x52, 0x54, 0, 0, 0, 1}
	peerMAC      = []byte{0x52, 0x54, 0, 0, 0, 2}
	otherMAC     = []byte{0x52, 0x54, 0, 0, 0, 3}
	noMAC        = make([]byte, 6)
	broadcastMAC = bytes.Repeat([]byte{0xff}, 6)
	groupMAC     = []byte{1, 0, 0x5e, 0, 0, 9}
)

// typeTest is for local experiments (IEEE 802).
const typeTest = 0x88b5

func (m *machine) ok(what string, e syscall.Errno) {
	m.t.Helper()
	if e != 0 {
		m.t.Fatalf("%s: %v", what, e)
	}
}

func (m *machine) log(format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}

func (m *machine) errno(what string, e syscall.Errno) {
	name := "ok"
	if e != 0 {
		name = e.Error()
	}
	m.log("%s: %s", what, name)
}

// open makes a socket that receives a type of frames from an interface, and forgets what came before it was bound.
func (m *machine) open(typ int, protocol uint16, index int) kernel.Socket {
	m.t.Helper()
	k, e := m.socket(typ, 0)
	m.ok("socket", e)
	m.ok("bind", k.Bind(sockaddr(protocol, index)))
	return k
}

// sockaddr is a struct sockaddr_ll, with an address if there is one.
func sockaddr(protocol uint16, index int, mac ...byte) []byte {
	var b [sockaddrSize]byte
	putSockaddr(&b, protocol, index, 0, 0, mac)
	return b[:]
}

func frame(dst, src []byte, typ uint16, payload string) []byte {
	return append(binary.BigEndian.AppendUint16(append(bytes.Clone(dst), src...), typ), payload...)
}

const (
	eventuallyTries = 2000
	eventuallyPause = time.Millisecond
)

// until waits for readiness.
func until(k kernel.Socket, ev kernel.Events) bool {
	for range eventuallyTries {
		if k.Readiness()&ev != 0 {
			return true
		}
		time.Sleep(eventuallyPause)
	}
	return false
}

// receive logs the next frame: its first bytes, where it is from, flags and control messages.
func (m *machine) receive(k kernel.Socket, size, flags int) {
	m.t.Helper()
	if !until(k, kernel.EventIn|kernel.EventErr) {
		m.log("nothing came")
		return
	}
	msg := kernel.Message{Buffers: [][]byte{make([]byte, size/2), make([]byte, size-size/2)}, Addr: make([]byte, 128), Control: make([]byte, 256)}
	n, e := k.Receive(&msg, flags)
	if e != 0 {
		m.errno("receive", e)
		return
	}
	data := bytes.Join(msg.Buffers, nil)
	data = data[:min(n, len(data), 40)]
	m.log("%d bytes %x from %s flags %#x%s", n, data, name(msg.Addr[:msg.AddrLen]), msg.Flags, control(msg.Control[:msg.ControlLen]))
}

// nothing logs whether there is a frame.
func (m *machine) nothing(k kernel.Socket) {
	_, e := k.Receive(&kernel.Message{Buffers: [][]byte{nil}}, 0)
	m.errno("no frame", e)
}

// name shows a struct sockaddr_ll.
func name(b []byte) string {
	if len(b) < offAddress {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("{family %d type %#x index %d hardware %d kind %d length %d %x}", binary.NativeEndian.Uint16(b), binary.BigEndian.Uint16(b[offProtocol:]),
		int32(binary.NativeEndian.Uint32(b[offIndex:])), binary.NativeEndian.Uint16(b[offHardware:]), b[offType], b[offLength], b[offAddress:])
}

// control shows control messages; of times only that there are some, near to now.
func control(b []byte) (s string) {
	for len(b) >= 16 {
		size, level, typ := binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
		data := b[16:size]
		switch typ {
		case syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, solsocket.TimestampNew, solsocket.TimestampNSNew, syscall.SO_TIMESTAMPING, solsocket.TimestampingNew:
			if since := time.Since(time.Unix(int64(binary.NativeEndian.Uint64(data)), 0)); level == syscall.SOL_SOCKET && since < time.Minute && since > -time.Minute {
				data = []byte("now")
			}
			s += fmt.Sprintf(" (%d %d %d: %s)", level, typ, size, data)
		default:
			s += fmt.Sprintf(" (%d %d: %x)", level, typ, data)
		}
		b = b[min((int(size)+7)&^7, len(b)):]
	}
	return s
}

func (m *machine) setInt(k kernel.Socket, level, option, v int) {
	m.t.Helper()
	m.ok("setsockopt", k.SetOption(level, option, binary.NativeEndian.AppendUint32(nil, uint32(v))))
}

func (m *machine) get(k kernel.Socket, level, option, size int) {
	b := make([]byte, size)
	n, e := k.GetOption(level, option, b)
	if e != 0 {
		n = 0
	}
	m.errno(fmt.Sprintf("getsockopt(%d, %d) = %x", level, option, b[:n]), e)
}

func (m *machine) send(k kernel.Socket, b, addr []byte) {
	n, e := k.Send(&kernel.Message{Buffers: [][]byte{b[:len(b)/2], b[len(b)/2:]}, Addr: addr}, 0)
	if e != 0 {
		n = 0
	}
	m.errno(fmt.Sprintf("send %d bytes = %d", len(b), n), e)
}

// left logs the next frame of a type that the card has sent.
func (m *machine) left(typ uint16) {
	deadline := time.After(eventuallyTries * eventuallyPause)
	for {
		select {
		case f := <-m.sent:
			if len(f) >= 14 && binary.BigEndian.Uint16(f[12:]) == typ {
				m.log("sent %x", f)
				return
			}
		case <-deadline:
			m.log("nothing was sent")
			return
		}
	}
}

// card is a card of the stack, whose other side is the machine's test.
type card struct {
	sent chan []byte
	link *netstack.Link
	mu   sync.Mutex
	rx   *netstack.RxBuffer
}

const headroom = 12

func (c *card) Info() netstack.NICInfo {
	return netstack.NICInfo{MAC: [6]byte(ownMAC), Headroom: headroom}
}
func (c *card) Start(l *netstack.Link) { c.link = l }
func (c *card) Kick()                  {}

func (c *card) Send(f *netstack.Frame) bool {
	c.sent <- bytes.Join(f.Parts, nil)[headroom:]
	f.Done()
	return true
}

func (c *card) receive(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(c.rx.Bytes()[headroom:], frame)
	c.link.Receive([]*netstack.RxBuffer{c.rx}, headroom, len(frame), false)
}

// switchedNetwork is a network whose card can be down.
type switchedNetwork struct {
	Network
	off atomic.Bool
}

func (n *switchedNetwork) FrameInterface(index int) (netstack.FrameInterface, bool) {
	i, ok := n.Network.FrameInterface(index)
	i.Up = i.Up && (index != 2 || !n.off.Load())
	return i, ok
}

// newStackMachine makes a machine of this package and netstack.
func newStackMachine(t *testing.T) *machine {
	s := netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }, DisableIPv6: true})
	t.Cleanup(s.Close)
	n := &switchedNetwork{Network: s}
	f := New(n, bpf.NewFilter)
	m := &machine{t: t, sent: make(chan []byte, 4096), socket: func(typ, protocol int) (kernel.Socket, syscall.Errno) {
		k, e := f.Socket(typ, protocol)
		if e == 0 {
			t.Cleanup(k.Release)
		}
		return k, e
	}}
	m.proc = func(name string) []byte {
		return map[string]func() []byte{"packet": f.Proc, "dev_mcast": f.ProcGroups}[name]()
	}
	c := &card{sent: m.sent, rx: netstack.NewRxBuffer()}
	l, e := s.AddNIC(c, "eth0")
	m.ok("AddNIC", e)
	if err := s.Configure([]string{"ip=10.0.0.1/24"}, 0); err != nil {
		t.Fatal(err)
	}
	m.inject = c.receive
	m.up = func(on bool) {
		n.off.Store(!on)
		f.changed()
	}
	m.remove = func() { m.ok("RemoveNIC", s.RemoveNIC(l)) }
	u, e := s.NewSocket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	m.ok("socket", e)
	t.Cleanup(u.Release)
	m.udp = func(to [4]byte, msg string) {
		addr := append([]byte{syscall.AF_INET, 0, 0, 9}, append(to[:], make([]byte, 8)...)...)
		_, e := u.Send(&kernel.Message{Buffers: [][]byte{[]byte(msg)}, Addr: addr}, 0)
		m.ok("sendto", e)
	}
	return m
}

// onBoth runs a test on Linux and on the stack and compares what a program sees.
func onBoth(t *testing.T, test func(m *machine)) {
	t.Helper()
	var want []string
	if !t.Run("linux", func(t *testing.T) {
		m := newHost(t)
		test(m)
		want = m.lines
	}) {
		return
	}
	t.Run("stack", func(t *testing.T) {
		m := newStackMachine(t)
		test(m)
		if testing.Verbose() {
			t.Log(strings.Join(m.lines, "\n"))
		}
		if want == nil {
			t.Skip("there is nothing to compare with")
		}
		if d := cmp.Diff(want, m.lines); d != "" {
			t.Errorf("-Linux +stack:\n%s", d)
		}
	})
}

var loopback = netip.MustParseAddr("127.0.0.1").As4()
