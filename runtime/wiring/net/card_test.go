package net

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const (
	features = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtionet.FeatureMAC | virtionet.FeatureStatus | virtionet.FeatureMTU
	rx, tx   = 0, 1
	header   = 12 // struct virtio_net_hdr
)

// card is a virtio-net device, and the network on its other side.
type card struct {
	*virtiotest.Device
	mac    []byte
	frames chan []byte // that were sent, with their headers
	header []byte      // of what next returned
	room   chan offer  // where received frames go

	mu    sync.Mutex
	slow  bool                // frames are not taken
	queue []*virtiotest.Chain // those
}

// newCard returns a card whose address ends with n, with queues of that many entries.
func newCard(t *testing.T, m *wiringtest.Machine, n byte, entries int) *card {
	return newCardWith(t, m, n, entries, features)
}

func newCardWith(t *testing.T, m *wiringtest.Machine, n byte, entries int, features uint64) *card {
	c := &card{mac: []byte{0x52, 0x54, 0, 0x12, 0x34, n}, frames: make(chan []byte, 1000), room: make(chan offer, 4*entries)}
	config := append(bytes.Clone(c.mac), 1, 0, 1, 0, 0x78, 0x05) // link up, MTU 1400
	c.Device = virtiotest.NewDevice(virtio.TypeNet, m.DeviceMemory(), features, config, entries, entries)
	c.Answer(t, func(i int, q *virtiotest.Queue, ch *virtiotest.Chain) {
		kept := &virtiotest.Chain{Head: ch.Head, Read: bytesOf(ch.Read), Write: bytesOf(ch.Write)}
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case i == rx:
			c.room <- offer{kept, q.Rings}
		case c.slow:
			c.queue = append(c.queue, kept)
		default:
			c.send(q, kept)
		}
	})
	return c
}

func bytesOf(list [][]byte) [][]byte { return append([][]byte(nil), list...) }

// send takes a frame that the driver sends. mu is held.
func (c *card) send(q *virtiotest.Queue, ch *virtiotest.Chain) {
	c.frames <- ch.Data(nil)
	q.Push(ch.Head, 0)
	q.Flush()
}

// setSlow makes the card take no frames, or take those that it has not.
func (c *card) setSlow(slow bool) {
	c.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.slow = slow
		for _, ch := range c.queue {
			c.send(c.Queues[tx], ch)
		}
		c.queue = nil
	})
}

// offer is room for a frame, in the queue that the driver had then.
type offer struct {
	*virtiotest.Chain
	rings virtio.Rings
}

// deliver has the machine receive a frame.
func (c *card) deliver(frame []byte) {
	h := make([]byte, header)
	h[header-2] = 1 // num_buffers
	q := c.Queues[rx]
	for done := false; !done; {
		at := <-c.room
		c.Do(func() {
			if done = at.rings == q.Rings; done { // else a user before has offered it
				q.Push(at.Head, uint32(at.Fill(append(h, frame...))))
				q.Flush()
			}
		})
	}
}

// next returns the next frame of a kind, and answers questions for addresses (ARP) on the
// way: the other side has all but the machine's own.
func (c *card) next(is func(frame []byte) bool) []byte {
	for {
		f := <-c.frames
		if c.header, f = f[:header], f[header:]; is(f) {
			return f
		}
		if isARP(f) && f[21] == 1 && !bytes.Equal(f[28:32], f[38:42]) {
			c.deliver(arp(2, peerMAC, netip.AddrFrom4([4]byte(f[38:42])), c.mac, netip.AddrFrom4([4]byte(f[28:32]))))
		}
	}
}

var peerMAC = []byte{0x52, 0x55, 10, 0, 2, 2}

const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
)

func ethernet(dst, src []byte, typ uint16, payload []byte) []byte {
	f := append(bytes.Clone(dst), src...)
	return append(binary.BigEndian.AppendUint16(f, typ), payload...)
}

func isARP(f []byte) bool { return binary.BigEndian.Uint16(f[12:]) == typeARP && len(f) >= 42 }

// arp makes a packet of RFC 826, with op 1 for a request.
func arp(op byte, from []byte, fromIP netip.Addr, to []byte, toIP netip.Addr) []byte {
	p := append([]byte{0, 1, 8, 0, 6, 4, 0, op}, from...)
	p = append(append(p, fromIP.AsSlice()...), to...)
	p = append(p, toIP.AsSlice()...)
	dst := to
	if op == 1 {
		dst = bytes.Repeat([]byte{0xff}, 6)
	}
	return ethernet(dst, from, typeARP, p)
}

// ipv4 makes a packet of a protocol.
func ipv4(protocol byte, from, to netip.Addr, payload []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	h = append(append(h, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(payload)))
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// tcp makes a segment with the option of a maximum size of 1360; its checksum is that of RFC 9293 §3.1.
func tcp(from, to netip.AddrPort, seq, ack uint32, flags byte) []byte {
	s := binary.BigEndian.AppendUint16(nil, from.Port())
	s = binary.BigEndian.AppendUint16(s, to.Port())
	s = binary.BigEndian.AppendUint32(s, seq)
	s = binary.BigEndian.AppendUint32(s, ack)
	s = append(s, 6<<4, flags, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 1360>>8, 1360&0xff)
	pseudo := append(append(from.Addr().AsSlice(), to.Addr().AsSlice()...), 0, 6, 0, byte(len(s)))
	binary.BigEndian.PutUint16(s[16:], checksum(append(pseudo, s...)))
	return s
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// isIPv4 returns whether a frame is an IPv4 packet of a protocol.
func isIPv4(protocol byte) func(f []byte) bool {
	return func(f []byte) bool { return binary.BigEndian.Uint16(f[12:]) == typeIPv4 && f[23] == protocol }
}
