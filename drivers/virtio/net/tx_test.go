package net_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// data returns size bytes of DMA memory with a pattern.
func (b *bench) data(off, size int) []byte {
	d := b.mem.Buffer(off, size)
	for i := range d {
		d[i] = byte(i * 7)
	}
	return d
}

// finish lets the device read and return n packets, and returns their bytes.
func (b *bench) finish(n int) (packets []string, interrupts int) {
	var c virtiotest.Chain
	for range n {
		if !b.tx().Pop(&c) {
			break
		}
		packets = append(packets, string(c.Data(nil)))
		b.tx().Push(c.Head, 0)
		if b.tx().Flush() {
			interrupts++
		}
	}
	return packets, interrupts
}

func TestSend(t *testing.T) {
	h := virtionet.Header{Flags: virtionet.NeedsChecksum, GSO: virtionet.GSOTCPv4,
		HeaderLen: 54, SegmentSize: 1448, ChecksumStart: 34, ChecksumOffset: 16}
	wire := "\x01\x01\x36\x00\xa8\x05\x22\x00\x10\x00"
	for name, tt := range map[string]struct {
		features uint64
		header   string
	}{
		"modern":           {all, wire + "\x00\x00"},
		"direct":           {all &^ virtio.FeatureIndirectDesc, wire + "\x00\x00"},
		"legacy":           {virtio.FeatureAnyLayout, wire},
		"legacy mergeable": {virtionet.FeatureMrgRxbuf, wire + "\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.features, virtionet.Options{})
			head, payload := b.data(10, 54), b.data(4000, 65000)
			if err := b.Send(h, [][]byte{head, nil, payload}, "big"); err != nil {
				t.Fatal(err)
			}
			if err := b.Send(h, [][]byte{head}, "small"); err != nil {
				t.Fatal(err)
			}
			if got, _ := b.finish(2); got != nil {
				t.Error("device saw a packet before Kick")
			}
			kicks := 0
			b.dev.Notified = func(int) { kicks++ }
			b.Kick()
			got, _ := b.finish(3)
			want := []string{tt.header + string(head) + string(payload), tt.header + string(head)}
			if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("device read %d packets, or other bytes than sent", len(got))
			}
			if kicks != 1 {
				t.Errorf("%d notifications for two packets; want 1", kicks)
			}
			b.Kick()
			if s := b.user.sent; len(s) != 2 || s[0] != "big" || s[1] != "small" {
				t.Errorf("Sent calls = %v; want big, small", s)
			}
		})
	}
}

func TestSendRefuses(t *testing.T) {
	b := newBench(t, all, virtionet.Options{TxMax: 16})
	piece := b.data(0, 10)
	if err := b.Send(virtionet.Header{}, nil, nil); !errors.Is(err, virtionet.ErrEmpty) {
		t.Errorf("Send of nothing = %v; want %v", err, virtionet.ErrEmpty)
	}
	var many [][]byte
	for range 16 {
		many = append(many, piece)
	}
	if err := b.Send(virtionet.Header{}, many, nil); !errors.Is(err, virtionet.ErrTooLarge) {
		t.Errorf("Send of 16 pieces = %v; want %v", err, virtionet.ErrTooLarge)
	}
}

// When the ring is full the device is asked for one interrupt, half way.
func TestSendFull(t *testing.T) {
	for name, features := range map[string]uint64{
		"event index": all, "flags": all &^ virtio.FeatureEventIdx, "legacy": 0,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, features, virtionet.Options{TxMax: 32})
			payload := b.data(0, 60)
			n := 0
			var err error
			for ; err == nil; n++ {
				err = b.Send(virtionet.Header{}, [][]byte{payload}, n)
			}
			if n--; n != 16 || !errors.Is(err, virtionet.ErrFull) {
				t.Fatalf("after %d packets %v; want 16, %v", n, err, virtionet.ErrFull)
			}
			got, interrupts := b.finish(16)
			if len(got) != 16 {
				t.Fatalf("device saw %d packets; want 16: a full ring must be published", len(got))
			}
			if features&virtio.FeatureEventIdx != 0 && interrupts != 1 {
				t.Errorf("%d interrupts; want 1", interrupts)
			}
			b.HandleInterrupt()
			if _, sent, writable := b.user.counts(); sent != 16 || writable != 1 {
				t.Errorf("sent %d, Writable called %d times; want 16, 1", sent, writable)
			}
			b.Send(virtionet.Header{}, [][]byte{payload}, nil)
			b.Kick()
			if _, interrupts := b.finish(1); interrupts != 0 {
				t.Error("interrupt after room was found; want none")
			}
		})
	}
}

// Who waits for room is told whoever finds it.
func TestRoomFoundBySender(t *testing.T) {
	b := newBench(t, all, virtionet.Options{TxMax: 32})
	payload := b.data(0, 60)
	for b.Send(virtionet.Header{}, [][]byte{payload}, nil) == nil {
	}
	b.finish(3) // fewer than the interrupt was asked for
	b.Kick()
	if _, sent, writable := b.user.counts(); sent != 3 || writable != 1 {
		t.Errorf("sent %d, Writable called %d times; want 3, 1", sent, writable)
	}
}

// Owners come back when traffic ceases, without an interrupt.
func TestOwnersComeBack(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.Send(virtionet.Header{}, [][]byte{b.data(0, 60)}, nil)
	b.Kick()
	time.Sleep(30 * time.Millisecond) // the device is slow
	if _, interrupts := b.finish(1); interrupts != 0 {
		t.Error("device interrupted for a sent packet")
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, sent, _ := b.user.counts(); sent == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("owner did not come back")
		}
	}
}

func TestHostileTx(t *testing.T) {
	tests := map[string]struct {
		do   func(q *virtiotest.Queue, head uint16)
		want error
	}{
		"unknown id": {func(q *virtiotest.Queue, head uint16) { q.Push(255, 0) }, virtio.ErrUsedID},
		"huge id":    {func(q *virtiotest.Queue, head uint16) { q.PutUsed(0, 0xffffffff, 0); q.SetUsedIndex(1) }, virtio.ErrUsedID},
		"twice":      {func(q *virtiotest.Queue, head uint16) { q.Push(head, 0); q.Push(head, 0) }, virtio.ErrUsedID},
		"index":      {func(q *virtiotest.Queue, head uint16) { q.SetUsedIndex(3) }, virtio.ErrUsedIndex},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, all, virtionet.Options{})
			for i := range 2 {
				b.Send(virtionet.Header{}, [][]byte{b.data(0, 60)}, fmt.Sprint(i))
			}
			b.Kick()
			var c virtiotest.Chain
			b.tx().Pop(&c)
			tt.do(b.tx(), c.Head)
			b.tx().Flush()
			b.Kick()
			b.wantFailure(t, tt.want)
			if _, sent, _ := b.user.counts(); sent != 2 {
				t.Errorf("%d owners came back; want 2", sent)
			}
		})
	}
}

// A length in a used element of a sent packet means nothing (§2.7.8.2).
func TestTxLengthIsIgnored(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.Send(virtionet.Header{}, [][]byte{b.data(0, 60)}, nil)
	b.Kick()
	var c virtiotest.Chain
	b.tx().Pop(&c)
	b.tx().Push(c.Head, 0xffffffff)
	b.tx().Flush()
	b.Kick()
	if _, sent, _ := b.user.counts(); sent != 1 || b.Err() != nil {
		t.Errorf("sent %d, %v; want 1, nil", sent, b.Err())
	}
}

func TestSendManySizes(t *testing.T) {
	b := newBench(t, all, virtionet.Options{TxMax: 64})
	src := b.data(1234, 70000)
	for n := 1; n < 70000; n += 997 {
		pieces := [][]byte{src[:n/3], src[n/3 : n/2], src[n/2 : n]}
		if err := b.Send(virtionet.Header{}, pieces, nil); err != nil {
			t.Fatalf("Send of %d bytes = %v", n, err)
		}
		b.Kick()
		got, _ := b.finish(1)
		if want := strings.Repeat("\x00", 12) + string(src[:n]); len(got) != 1 || got[0] != want {
			t.Fatalf("device read other bytes than the %d sent", n)
		}
	}
}

// Hasten asks for one interrupt, when the device is done with all that it had.
func TestHasten(t *testing.T) {
	for name, features := range map[string]uint64{"event index": all, "flags": all &^ virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, features, virtionet.Options{})
			send := func(n int) {
				for range n {
					if err := b.Send(virtionet.Header{}, [][]byte{b.data(0, 60)}, "packet"); err != nil {
						t.Fatal(err)
					}
				}
				b.Kick()
			}
			b.Hasten() // nothing to wait for
			send(3)
			b.Hasten()
			if _, n := b.finish(2); n != 0 && features&virtio.FeatureEventIdx != 0 {
				t.Errorf("%d interrupts for 2 of 3 packets; want none", n)
			}
			if _, n := b.finish(1); n != 1 {
				t.Errorf("%d interrupts for the last packet; want 1", n)
			}
			b.HandleInterrupt()
			if _, sent, _ := b.user.counts(); sent != 3 {
				t.Errorf("%d packets came back; want 3", sent)
			}
			send(1)
			if _, n := b.finish(1); n != 0 {
				t.Error("interrupt for a packet that nobody waits for")
			}
			b.Hasten() // it is done already
			if _, sent, _ := b.user.counts(); sent != 4 {
				t.Errorf("%d packets came back; want 4", sent)
			}
		})
	}
}
