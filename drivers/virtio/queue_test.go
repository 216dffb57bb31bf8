package virtio_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const ringFeatures = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc

// newQueue returns both sides of a queue.
func newQueue(t testing.TB, features uint64, size int) (*virtio.Queue, *virtiotest.Queue, *virtiotest.Device) {
	t.Helper()
	mem := virtiotest.NewMemory(32)
	dev := virtiotest.NewDevice(virtio.TypeEntropy, mem, features, nil, size)
	dev.Old = features&virtio.FeatureVersion1 == 0
	got, err := virtio.Negotiate(dev, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := virtio.NewQueue(dev, mem, got, 0, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := virtio.Ready(dev); err != nil {
		t.Fatal(err)
	}
	return q, dev.Queues[0], dev
}

func segments(dev *virtiotest.Device, bufs ...[]byte) []virtio.Segment {
	var segs []virtio.Segment
	for _, b := range bufs {
		segs = virtio.AppendSegments(dev.Memory, segs, b)
	}
	return segs
}

var featureSets = map[string]uint64{
	"legacy":   0,
	"plain":    virtio.FeatureVersion1,
	"eventidx": virtio.FeatureVersion1 | virtio.FeatureEventIdx,
	"indirect": virtio.FeatureVersion1 | virtio.FeatureIndirectDesc,
	"all":      ringFeatures,
}

// Chains of many shapes go round a small ring many times, past the wrap of the
// 16-bit indices, and come back in an order of the device's choice.
func TestQueueRoundTrips(t *testing.T) {
	for name, features := range featureSets {
		t.Run(name, func(t *testing.T) {
			q, d, dev := newQueue(t, features, 8)
			out := dev.Memory.Buffer(4090, 9000)
			in := dev.Memory.Buffer(1, 64)
			for i := range out {
				out[i] = byte(i)
			}
			var held []virtiotest.Chain
			sent, back := 0, 0
			lengths := map[uint16]uint32{}
			for back < 70000 {
				n := sent % 50
				if sent%16 == 0 {
					n = sent % 9000
				}
				segs := segments(dev, out[:n])
				readable := len(segs)
				segs = append(segs, segments(dev, in[:1+sent%64])...)
				if head, ok := q.Add(segs, readable); ok {
					lengths[head] = uint32(1 + sent%64)
					sent++
					q.Kick()
					continue
				}
				for {
					var c virtiotest.Chain
					if !d.Pop(&c) {
						break
					}
					held = append(held, c)
				}
				for i := len(held) - 1; i >= 0; i-- {
					if got := held[i].Data(nil); !bytes.Equal(got, out[:len(got)]) {
						t.Fatal("device read other bytes than were sent")
					}
					d.Push(held[i].Head, lengths[held[i].Head])
				}
				held = held[:0]
				d.Flush()
				for {
					head, n, ok := q.Next()
					if !ok {
						break
					}
					if n != lengths[head] {
						t.Fatalf("Next() of head %d = length %d; want %d", head, n, lengths[head])
					}
					back++
				}
				if q.Err() != nil || q.InFlight() != 0 {
					t.Fatalf("after round: err %v, %d in flight; want none", q.Err(), q.InFlight())
				}
			}
		})
	}
}

func TestIndirectTableSparesDescriptors(t *testing.T) {
	q, d, dev := newQueue(t, ringFeatures, 4)
	buf := dev.Memory.Buffer(0, 3*virtio.PageSize)
	for i := range 4 {
		if _, ok := q.Add(segments(dev, buf), 3); !ok {
			t.Fatalf("Add of chain %d with three segments failed; want room for four chains", i)
		}
	}
	q.Kick()
	var c virtiotest.Chain
	if !d.Pop(&c) || !c.Indirect || len(c.Read) != 3 {
		t.Errorf("device got indirect %v with %d parts; want true, 3", c.Indirect, len(c.Read))
	}
}

// Tables of another size hold chains of that length, one for each head, and
// take memory only once their heads are used.
func TestSetIndirectMax(t *testing.T) {
	for n, want := range map[int]int{1: 1, 3: 4, 64: 64, 100: 128, 256: 256, 100000: 256} {
		q, _, _ := newQueue(t, ringFeatures, 4)
		if q.SetIndirectMax(n); q.IndirectMax() != want {
			t.Errorf("SetIndirectMax(%d): tables of %d; want %d", n, q.IndirectMax(), want)
		}
		q, _, _ = newQueue(t, virtio.FeatureVersion1, 4)
		if q.SetIndirectMax(n); q.IndirectMax() != 0 {
			t.Errorf("SetIndirectMax(%d) without the feature: tables of %d; want 0", n, q.IndirectMax())
		}
	}
	const size = 128
	q, d, dev := newQueue(t, ringFeatures, size)
	q.SetIndirectMax(128)
	page := dev.Memory.Buffer(0, size)
	for i := range page {
		page[i] = byte(i)
	}
	for i := range 4 { // fewer than a page of tables has room for, then more
		segs := make([]virtio.Segment, 0, size)
		for j := range 100 {
			segs = append(segs, segments(dev, page[(i+j)%size:][:1])...)
		}
		if _, ok := q.Add(segs, len(segs)); !ok {
			t.Fatalf("Add of chain %d with 100 segments failed", i)
		}
	}
	if _, ok := q.Add(make([]virtio.Segment, size+1), 0); ok {
		t.Error("Add of a chain that is longer than the queue succeeded")
	}
	q.Kick()
	var c virtiotest.Chain
	for i := range 4 {
		if !d.Pop(&c) || !c.Indirect || len(c.Read) != 100 {
			t.Fatalf("device got indirect %v with %d parts; want true, 100", c.Indirect, len(c.Read))
		}
		for j, b := range c.Data(nil) {
			if want := byte((i + j) % size); b != want {
				t.Fatalf("chain %d has byte %d at %d; want %d", i, b, j, want)
			}
		}
	}
}

func TestAppendSegmentsLimit(t *testing.T) {
	mem := virtiotest.NewMemory(8)
	near, phys, _ := mem.Alloc(3 * virtio.PageSize)
	far := mem.Buffer(0, 3*virtio.PageSize)
	head := []virtio.Segment{{Addr: phys, Len: 100}}
	for _, tt := range []struct {
		name string
		buf  []byte
		lim  virtio.SegmentLimit
		lens []uint32
		n    int
	}{
		{"grows the last", near[100:5000], virtio.SegmentLimit{Count: 9, Len: 1 << 20}, []uint32{5000}, 4900},
		{"not below First", near[100:5000], virtio.SegmentLimit{First: 1, Count: 9, Len: 1 << 20}, []uint32{100, 4900}, 4900},
		{"length", near[100:5000], virtio.SegmentLimit{First: 1, Count: 9, Len: 2048}, []uint32{100, 2048, 2048, 804}, 4900},
		{"length and count", near[100:5000], virtio.SegmentLimit{First: 1, Count: 2, Len: 2048}, []uint32{100, 2048}, 2048},
		{"count", far, virtio.SegmentLimit{First: 1, Count: 3, Len: 1 << 20}, []uint32{100, 4096, 4096}, 8192},
		{"full", far, virtio.SegmentLimit{First: 1, Count: 1, Len: 1 << 20}, []uint32{100}, 0},
	} {
		segs, n := virtio.AppendSegmentsLimit(mem, append([]virtio.Segment(nil), head...), tt.buf, tt.lim)
		var lens []uint32
		for _, s := range segs {
			lens = append(lens, s.Len)
		}
		if !slices.Equal(lens, tt.lens) || n != tt.n {
			t.Errorf("%s: segments of %d, %d bytes; want %d, %d", tt.name, lens, n, tt.lens, tt.n)
		}
	}
}

// Without memory for a table the chain is still sent.
func TestIndirectTableWithoutMemory(t *testing.T) {
	q, d, dev := newQueue(t, ringFeatures, 4)
	dev.Memory.FailAlloc(true)
	if _, ok := q.Add(segments(dev, dev.Memory.Buffer(0, 3*virtio.PageSize)), 3); !ok {
		t.Fatal("Add failed; want a direct chain")
	}
	q.Kick()
	var c virtiotest.Chain
	if !d.Pop(&c) || c.Indirect {
		t.Errorf("device got indirect %v; want a direct chain", c.Indirect)
	}
}

func TestAppendSegmentsJoinsNeighbours(t *testing.T) {
	mem := virtiotest.NewMemory(8)
	b, phys, _ := mem.Alloc(3 * virtio.PageSize)
	got := virtio.AppendSegments(mem, nil, b[100:9000])
	if len(got) != 1 || got[0] != (virtio.Segment{Addr: phys + 100, Len: 8900}) {
		t.Errorf("contiguous pages = %v; want one segment", got)
	}
	if got := virtio.AppendSegments(mem, nil, mem.Buffer(100, 8900)); len(got) != 3 {
		t.Errorf("scattered pages = %v; want three segments", got)
	}
}

// virtio 1.2 §2.7.10: the device decides when it is notified.
func TestNotificationSuppression(t *testing.T) {
	for name, features := range featureSets {
		t.Run(name, func(t *testing.T) {
			q, d, dev := newQueue(t, features, 16)
			kicks := 0
			dev.Notified = func(int) { kicks++ }
			seg := segments(dev, dev.Memory.Buffer(0, 10))
			add := func() { q.Add(seg, 1); q.Kick() }
			d.SetNotify(true)
			add()
			d.SetNotify(false)
			add()
			add()
			if kicks != 1 {
				t.Errorf("%d notifications; want 1", kicks)
			}
			q.Kick() // nothing new
			if kicks != 1 {
				t.Error("Kick without new chains notified the device")
			}
		})
	}
}

// virtio 1.2 §2.7.7: the driver decides when it is interrupted.
func TestInterruptSuppression(t *testing.T) {
	for name, features := range featureSets {
		t.Run(name, func(t *testing.T) {
			q, d, dev := newQueue(t, features, 16)
			seg := segments(dev, dev.Memory.Buffer(0, 10))
			for range 8 {
				q.Add(seg, 0)
			}
			q.Kick()
			finish := func() bool {
				var c virtiotest.Chain
				d.Pop(&c)
				d.Push(c.Head, 0)
				return d.Flush()
			}
			if finish() {
				t.Error("interrupt of a new queue; want silence")
			}
			if !q.EnableInterrupts(0) {
				t.Error("EnableInterrupts with a used chain = false; want true")
			}
			q.Next()
			if q.EnableInterrupts(0) {
				t.Error("EnableInterrupts without used chains = true; want false")
			}
			if !finish() {
				t.Error("no interrupt though enabled")
			}
			q.Next()
			q.DisableInterrupts()
			if finish() {
				t.Error("interrupt though disabled")
			}
			if features&virtio.FeatureEventIdx == 0 {
				return
			}
			q.Next()
			q.EnableInterrupts(2)
			if got := [3]bool{finish(), finish(), finish()}; got != [3]bool{false, false, true} {
				t.Errorf("interrupts for three chains with ahead 2 = %v; want only the third", got)
			}
		})
	}
}

func TestHostileUsedRing(t *testing.T) {
	tests := []struct {
		name string
		do   func(d *virtiotest.Queue, head uint16)
		want error
	}{
		{"id beyond the queue", func(d *virtiotest.Queue, head uint16) { d.Push(16, 0) }, virtio.ErrUsedID},
		{"id of 32 bits", func(d *virtiotest.Queue, head uint16) {
			d.PutUsed(0, 1<<16|uint32(head), 0)
			d.SetUsedIndex(1)
		}, virtio.ErrUsedID},
		{"id of an idle descriptor", func(d *virtiotest.Queue, head uint16) { d.Push(9, 0) }, virtio.ErrUsedID},
		{"id inside a chain", func(d *virtiotest.Queue, head uint16) { d.Push(head+2, 0) }, virtio.ErrUsedID},
		{"same id twice", func(d *virtiotest.Queue, head uint16) { d.Push(head, 0); d.Push(head, 0) }, virtio.ErrUsedID},
		{"length beyond the buffer", func(d *virtiotest.Queue, head uint16) { d.Push(head, 101) }, virtio.ErrUsedLength},
		{"length of 32 bits", func(d *virtiotest.Queue, head uint16) { d.Push(head, 0xffffffff) }, virtio.ErrUsedLength},
		{"index beyond what is available", func(d *virtiotest.Queue, head uint16) { d.SetUsedIndex(3) }, virtio.ErrUsedIndex},
		{"index beyond the queue size", func(d *virtiotest.Queue, head uint16) { d.SetUsedIndex(40000) }, virtio.ErrUsedIndex},
		{"index going back", func(d *virtiotest.Queue, head uint16) { d.SetUsedIndex(0xffff) }, virtio.ErrUsedIndex},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, d, dev := newQueue(t, ringFeatures, 16)
			seg := segments(dev, dev.Memory.Buffer(0, 100))
			head, _ := q.Add(seg, 0)
			q.Add(append(seg, seg...), 0) // its second descriptor is no head
			q.Kick()
			tt.do(d, head)
			d.Flush()
			for range 3 {
				q.Next()
			}
			if !errors.Is(q.Err(), tt.want) {
				t.Errorf("Err() = %v; want %v", q.Err(), tt.want)
			}
			if _, _, ok := q.Next(); ok {
				t.Error("Next() after the error = true; want false")
			}
			if _, ok := q.Add(seg, 0); ok {
				t.Error("Add() after the error = true; want false")
			}
		})
	}
}

func TestHostileQueueSize(t *testing.T) {
	for size, want := range map[int]error{
		0: virtio.ErrNoQueue, 1: virtio.ErrQueueSize, 3: virtio.ErrQueueSize, 1000: virtio.ErrQueueSize,
		65536: virtio.ErrQueueSize, 1 << 31: virtio.ErrQueueSize, 32768: nil, 2: nil,
	} {
		mem := virtiotest.NewMemory(16)
		dev := virtiotest.NewDevice(virtio.TypeEntropy, mem, ringFeatures, nil, size)
		q, err := virtio.NewQueue(dev, mem, ringFeatures, 0, 256)
		if !errors.Is(err, want) {
			t.Errorf("NewQueue with maximum %d = %v; want %v", size, err, want)
		}
		if err == nil && q.Size() != min(size, 256) {
			t.Errorf("NewQueue with maximum %d has size %d; want %d", size, q.Size(), min(size, 256))
		}
	}
}

// FuzzUsedRing plays a device that writes anything to the used ring. The
// driver's counts must stay right, whatever comes.
func FuzzUsedRing(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 10, 0, 1, 2, 0, 0, 0, 200})
	f.Add([]byte{255, 255, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		q, d, dev := newQueue(t, ringFeatures, 8)
		if len(script) > 0 {
			q.SetIndirectMax(int(script[0])) // also none that is of use
		}
		seg := segments(dev, dev.Memory.Buffer(0, 100))
		big := segments(dev, dev.Memory.Buffer(4000, 9000))
		held := map[uint16]uint32{}
		for ; len(script) >= 4; script = script[4:] {
			for _, s := range [][]virtio.Segment{seg, big} {
				if head, ok := q.Add(s, int(script[0]&1)); ok {
					if _, dup := held[head]; dup {
						t.Fatalf("head %d is in use twice", head)
					}
					held[head] = 9000
				}
			}
			q.Kick()
			d.PutUsed(uint16(script[1]>>4), uint32(int8(script[1]<<4)>>4), uint32(script[2])*uint32(script[2]))
			d.SetUsedIndex(d.UsedIndex() + uint16(int8(script[3])))
			for {
				head, n, ok := q.Next()
				if !ok {
					break
				}
				if max, ok := held[head]; !ok || n > max {
					t.Fatalf("Next() = head %d, length %d; not held or too long", head, n)
				}
				delete(held, head)
			}
			if q.Err() == nil && q.InFlight() != len(held) {
				t.Fatalf("InFlight() = %d; want %d", q.InFlight(), len(held))
			}
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q, d, dev := newQueue(b, ringFeatures, 256)
	segs := segments(dev, dev.Memory.Buffer(0, 1500), dev.Memory.Buffer(0, 12))
	var c virtiotest.Chain
	b.ReportAllocs()
	for b.Loop() {
		for range 32 {
			q.Add(segs, 1)
		}
		q.Kick()
		for d.Pop(&c) {
			d.Push(c.Head, 0)
		}
		d.Flush()
		for {
			if _, _, ok := q.Next(); !ok {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/chain")
}
