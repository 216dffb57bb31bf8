package net_test

import (
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const plainHeader = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00"

// push makes the device write raw bytes, header included, over as many buffers
// as they need. It returns false if the driver has given too few.
func (b *bench) push(raw string) bool {
	var c virtiotest.Chain
	for len(raw) > 0 {
		if !b.rx().Pop(&c) {
			return false
		}
		n := c.Fill([]byte(raw))
		b.rx().Push(c.Head, uint32(n))
		raw = raw[n:]
	}
	return true
}

func TestReceive(t *testing.T) {
	for name, tt := range map[string]struct {
		features uint64
		off      int
		header   string
	}{
		"modern":            {all, 0, plainHeader},
		"not mergeable":     {basic, 0, plainHeader},
		"across pages":      {basic, 3000, plainHeader},
		"flags":             {all &^ virtio.FeatureEventIdx, 0, plainHeader},
		"legacy":            {0, 0, plainHeader[:10]},
		"legacy any layout": {virtio.FeatureAnyLayout, 0, plainHeader[:10]},
		"legacy mergeable":  {virtionet.FeatureMrgRxbuf, 0, plainHeader},
	} {
		t.Run(name, func(t *testing.T) {
			mem := virtiotest.NewMemory(512)
			dev := virtiotest.NewDevice(virtio.TypeNet, mem, tt.features, configuration(), 256, 256)
			dev.Old = tt.features&virtio.FeatureVersion1 == 0
			b := &bench{user: newUser(mem, tt.off, 2048), dev: dev, mem: mem}
			var err error
			if b.Device, err = virtionet.New(dev, mem, b.user, virtionet.Options{}); err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			for i := range 1000 {
				want := strings.Repeat(string(rune('a'+i%26)), 14+i)
				b.push(tt.header + want)
				if !b.rx().Flush() {
					t.Fatalf("packet %d: no interrupt", i)
				}
				b.HandleInterrupt()
				got := b.user.packets
				if len(got) != 1 || got[0].data != want {
					t.Fatalf("packet %d: got %d packets, or other bytes than sent", i, len(got))
				}
				b.user.packets = nil
			}
			if b.Err() != nil || b.user.made > 66 {
				t.Errorf("err %v, %d buffers made; want nil, few", b.Err(), b.user.made)
			}
		})
	}
}

// §5.1.6.4: with MRG_RXBUF a packet may fill several buffers.
func TestReceiveMerged(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	want := strings.Repeat("0123456789abcdef", 4000)
	h := "\x01\x01\x36\x00\xa8\x05\x22\x00\x10\x00\x20\x00" // 32 buffers of 2048
	b.push(h + want)
	b.push(plainHeader + "next packet")
	b.rx().Flush()
	b.HandleInterrupt()
	got := b.user.packets
	if len(got) != 2 || got[0].data != want || got[0].parts != 32 || got[1].data != "next packet" {
		t.Fatalf("got %d packets, or other bytes than sent", len(got))
	}
	if want := (virtionet.Header{Flags: 1, GSO: virtionet.GSOTCPv4, HeaderLen: 54, SegmentSize: 1448,
		ChecksumStart: 34, ChecksumOffset: 16}); got[0].header != want {
		t.Errorf("header %+v; want %+v", got[0].header, want)
	}
}

// A merged packet that the device returns in two goes is delivered whole.
func TestReceiveMergedPiecemeal(t *testing.T) {
	for name, features := range map[string]uint64{"event index": all, "flags": all &^ virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, features, virtionet.Options{})
			first := plainHeader[:10] + "\x03\x00" + strings.Repeat("x", 2036)
			b.push(first)
			b.rx().Flush()
			b.HandleInterrupt()
			b.push(strings.Repeat("y", 2048))
			b.rx().Flush()
			b.HandleInterrupt()
			if len(b.user.packets) != 0 {
				t.Fatal("an incomplete packet was delivered")
			}
			b.push("z")
			if !b.rx().Flush() {
				t.Error("no interrupt for the last part")
			}
			b.HandleInterrupt()
			if got := b.user.packets; len(got) != 1 || got[0].parts != 3 || len(got[0].data) != 2036+2048+1 {
				t.Errorf("packets %d; want one of three parts", len(got))
			}
		})
	}
}

// The ring starts small and grows with the traffic.
func TestRingGrows(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	if held, _, _ := b.user.counts(); held != 64 {
		t.Fatalf("driver holds %d buffers; want 64", held)
	}
	for range 5 {
		for b.push(plainHeader + "burst") {
		}
		b.rx().Flush()
		b.HandleInterrupt()
	}
	if held, _, _ := b.user.counts(); held != 256 {
		t.Errorf("driver holds %d buffers after bursts; want 256", held)
	}
}

// When memory runs out, the ring is refilled as soon as there is some again.
func TestNoBuffers(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.user.mu.Lock()
	b.user.limit = 1
	b.user.mu.Unlock()
	for b.push(plainHeader + "x") {
	}
	b.rx().Flush()
	b.HandleInterrupt()
	b.user.mu.Lock()
	b.user.limit = 0
	b.user.out[&buffer{}] = true // and nothing interrupts any more
	b.user.mu.Unlock()
	for end := time.Now().Add(10 * time.Second); b.rx().Available() < 64; time.Sleep(time.Millisecond) {
		b.Refill()
		if time.Now().After(end) {
			t.Fatalf("%d buffers posted; want 64", b.rx().Available())
		}
	}
}

// A device without any buffer cannot interrupt: a timer tries again.
func TestNoBuffersAtAll(t *testing.T) {
	mem := virtiotest.NewMemory(512)
	dev := virtiotest.NewDevice(virtio.TypeNet, mem, all, configuration(), 256, 256)
	u := newUser(mem, 0, 2048)
	u.limit = 1
	u.out[&buffer{}] = true
	d, err := virtionet.New(dev, mem, u, virtionet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u.mu.Lock()
	u.limit = 0
	u.mu.Unlock()
	for end := time.Now().Add(10 * time.Second); dev.Queues[0].Available() < 64; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("ring stays empty though there is memory")
		}
	}
	d.Close()
}

// Packets with headers that make no sense are dropped, the device goes on.
func TestImplausibleHeaders(t *testing.T) {
	b := newBench(t, all&^virtionet.FeatureGuestTSO6, virtionet.Options{})
	for _, h := range []string{
		"\x01\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00", // checksum start beyond the packet
		"\x01\x00\x00\x00\x00\x00\x04\x00\x03\x00\x01\x00", // checksum ends beyond the packet
		"\x00\x04\x00\x00\x64\x00\x00\x00\x00\x00\x01\x00", // TCPv6 segmentation not negotiated
		"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", // segment size 0
		"\x00\x03\x00\x00\x64\x00\x00\x00\x00\x00\x01\x00", // UDP fragmentation not negotiated
	} {
		b.push(h + "12345678")
	}
	b.push(plainHeader) // and an empty one
	b.push(plainHeader + "good")
	b.rx().Flush()
	b.HandleInterrupt()
	if got := b.user.packets; len(got) != 1 || got[0].data != "good" || b.Err() != nil {
		t.Errorf("packets %v, err %v; want the good one alone", got, b.Err())
	}
	if held, _, _ := b.user.counts(); held != 64 {
		t.Errorf("driver holds %d buffers; want 64", held)
	}
}

func TestHostileRx(t *testing.T) {
	tests := map[string]struct {
		do   func(b *bench, c *virtiotest.Chain)
		want error
	}{
		"length beyond the buffer": {func(b *bench, c *virtiotest.Chain) { b.rx().Push(c.Head, 2049) }, virtio.ErrUsedLength},
		"shorter than the header":  {func(b *bench, c *virtiotest.Chain) { b.rx().Push(c.Head, 11) }, virtionet.ErrShortPacket},
		"unknown id":               {func(b *bench, c *virtiotest.Chain) { b.rx().Push(200, 60) }, virtio.ErrUsedID},
		"twice": {func(b *bench, c *virtiotest.Chain) {
			c.Fill([]byte(plainHeader + "x"))
			b.rx().Push(c.Head, 13)
			b.rx().Push(c.Head, 13)
		}, virtio.ErrUsedID},
		"index jumps": {func(b *bench, c *virtiotest.Chain) { b.rx().SetUsedIndex(65) }, virtio.ErrUsedIndex},
		"index jumps by 2^15": {func(b *bench, c *virtiotest.Chain) {
			b.rx().SetUsedIndex(32768)
		}, virtio.ErrUsedIndex},
		"no buffers": {func(b *bench, c *virtiotest.Chain) {
			c.Fill(make([]byte, 60))
			b.rx().Push(c.Head, 60)
		}, virtionet.ErrNumBuffers},
		"too many buffers": {func(b *bench, c *virtiotest.Chain) {
			c.Fill([]byte(plainHeader[:10] + "\x01\x01"))
			b.rx().Push(c.Head, 60)
		}, virtionet.ErrNumBuffers},
		"twice in one packet": {func(b *bench, c *virtiotest.Chain) {
			c.Fill([]byte(plainHeader[:10] + "\x02\x00x"))
			b.rx().Push(c.Head, 13)
			b.rx().Push(c.Head, 13)
		}, virtio.ErrUsedID},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, all, virtionet.Options{})
			var c virtiotest.Chain
			b.rx().Pop(&c)
			tt.do(b, &c)
			b.rx().Flush()
			b.HandleInterrupt()
			b.wantFailure(t, tt.want)
		})
	}
}
