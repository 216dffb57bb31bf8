package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// pieces cuts b into pieces of random length.
func pieces(rnd *rand.Rand, b []byte) (list [][]byte) {
	for len(b) > 0 {
		n := min(1+rnd.IntN(1+rnd.IntN(3*virtio.PageSize)), len(b))
		list = append(list, b[:n])
		b = b[n:]
	}
	return list
}

// noise is what is written.
var noise = func() []byte {
	b := make([]byte, 2<<20)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// Data comes back whatever pieces it lies in and whatever the device takes.
func TestReadWrite(t *testing.T) {
	for name, tt := range map[string]struct {
		features uint64
		segMax   uint32
		block    uint32
		queue    int
	}{
		"modern":          {modern, 126, 512, 128},
		"large blocks":    {modern, 126, 4096, 128},
		"short segments":  {modern | blk.FeatureSizeMax, 126, 4096, 128},
		"few segments":    {modern | blk.FeatureSizeMax, 5, 512, 128},
		"small queue":     {modern, 126, 512, 8},
		"no tables":       {modern &^ virtio.FeatureIndirectDesc, 126, 512, 128},
		"plain":           {virtio.FeatureVersion1 | blk.FeatureSegMax, 126, 512, 64},
		"legacy":          {blk.FeatureSegMax, 126, 512, 64},
		"smallest queue":  {modern, 126, 512, 4},
		"smallest direct": {virtio.FeatureVersion1 | blk.FeatureSegMax, 6, 512, 16},
	} {
		t.Run(name, func(t *testing.T) {
			c := configuration()
			c.SegMax, c.BlockSize, c.SizeMax = tt.segMax, tt.block, 1536
			d := newDisk(t, tt.features, c, blk.Options{}, tt.queue).start(t)
			rnd := rand.New(rand.NewPCG(1, 2))
			mirror := make([]byte, d.Info().Capacity)
			out, in := d.mem.Buffer(7, 1<<20), d.mem.Buffer(900, 1<<20)
			for range 40 {
				block := d.Info().BlockSize
				n := rnd.IntN(200) * block % (1 << 20)
				at := rnd.IntN((len(mirror)-n)/block) * block
				copy(out[:n], noise[rnd.IntN(1<<20):])
				bufs := pieces(rnd, out[:n])
				if tt.segMax < 8 { // a block must fit
					bufs = [][]byte{out[:n]}
				}
				if len(bufs) > 0 {
					bufs = append(bufs, nil) // empty buffers do no harm
				}
				err := d.WriteAt(bufs, int64(at))
				if errors.Is(err, blk.ErrPieces) {
					continue // scattered too finely: TestRefused
				}
				copy(mirror[at:], out[:n])
				if err != nil || !bytes.Equal(mirror, d.Data) {
					t.Fatalf("WriteAt of %d bytes at %d = %v, same disk %v", n, at, err, bytes.Equal(mirror, d.Data))
				}
				if err := d.ReadAt([][]byte{in[:n]}, int64(at)); err != nil || !bytes.Equal(in[:n], out[:n]) {
					t.Fatalf("ReadAt of %d bytes at %d = %v, same bytes %v", n, at, err, bytes.Equal(in[:n], out[:n]))
				}
			}
		})
	}
}

// A request goes out in as few parts as the limits allow, in order.
func TestSplit(t *testing.T) {
	c := configuration()
	c.SegMax = 4
	d := newDisk(t, modern, c, blk.Options{}, 64)
	var sectors []uint64
	d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
		_, s := d.Request(c)
		sectors = append(sectors, s)
		return false
	}
	check := func(name string, want string) {
		t.Helper()
		d.Serve()
		if err := d.HandleInterrupt(); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(sectors); got != want {
			t.Errorf("%s: parts at sectors %v; want %v", name, got, want)
		}
		sectors = nil
	}
	done := func(r *blk.Request) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	aligned, shifted := d.mem.Buffer(0, 10*4096), d.mem.Buffer(512, 10*4096)
	near, _, _ := d.mem.Alloc(10 * 4096)
	d.Submit(0, &blk.Request{Buffers: [][]byte{aligned}, Done: done})
	check("pages", "[0 32 64]")
	d.Submit(0, &blk.Request{Op: blk.Write, Buffers: [][]byte{shifted}, Offset: 512, Done: done})
	check("pages that are not aligned", "[1 32 64]")
	d.Submit(0, &blk.Request{Buffers: [][]byte{near[:4096], near[4096:]}, Done: done})
	check("neighbours", "[0]")
	d.Submit(0, &blk.Request{Buffers: [][]byte{aligned[:1000], near[:9000], aligned[:4096], aligned[4096 : 4096+2*4096-1808]}, Done: done})
	check("blocks across buffers", "[0 35]")
}

func TestRanges(t *testing.T) {
	d := newDisk(t, modern, configuration(), blk.Options{}, 64).start(t)
	pattern(d.Data)
	zero := func(from, to int) bool { return bytes.Count(d.Data[from:to], []byte{0}) == to-from }
	var parts []string
	d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
		if typ, _ := d.Request(c); typ == virtiotest.DiskDiscard {
			parts = append(parts, fmt.Sprint(binary.LittleEndian.Uint64(c.Read[1]), "+", binary.LittleEndian.Uint32(c.Read[1][8:])))
		}
		return false
	}
	if err := d.Discard(4*512, 2500*512); err != nil || !zero(4*512, 2504*512) || zero(0, 2048) || zero(2504*512, 2505*512) {
		t.Errorf("Discard = %v; want nil, and the range gone", err)
	}
	// At most 1024 sectors at a time, to ends that are multiples of 8.
	if got, want := fmt.Sprint(parts), "[4+1020 1024+1024 2048+456]"; got != want {
		t.Errorf("Discard of sectors 4 to 2504 in parts %v; want %v", got, want)
	}
	pattern(d.Data)
	for _, unmap := range []bool{false, true} {
		if err := d.WriteZeroes(512, 250*512, unmap); err != nil || !zero(512, 251*512) || zero(0, 512) {
			t.Errorf("WriteZeroes = %v; want nil, and the range zero", err)
		}
	}
	if n := d.Count[virtiotest.DiskZeroes]; n != 6 {
		t.Errorf("WriteZeroes took %d requests; want 3 each time", n)
	}
}

// Whether the device may free zeroed space is asked of it only if it can.
func TestUnmap(t *testing.T) {
	for may, want := range map[uint8]byte{0: 0, 1: 1} {
		c := configuration()
		c.MayUnmap = may
		d := newDisk(t, modern, c, blk.Options{}, 64)
		flags := byte(9)
		d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool { flags = c.Read[1][12]; return false }
		d.Submit(0, &blk.Request{Op: blk.WriteZeroes, Length: 512, Unmap: true, Done: func(*blk.Request) {}})
		d.Serve()
		if flags != want {
			t.Errorf("write_zeroes_may_unmap %d: flags %d; want %d", may, flags, want)
		}
	}
}

func TestFlush(t *testing.T) {
	d := newDisk(t, modern, configuration(), blk.Options{}, 64).start(t)
	out := pattern(d.mem.Buffer(0, 512))
	d.WriteAt([][]byte{out}, 0)
	if bytes.Equal(d.Durable[:512], out) {
		t.Fatal("the device has no cache; want one")
	}
	if err := d.Flush(); err != nil || !bytes.Equal(d.Durable[:512], out) {
		t.Errorf("Flush = %v; want nil, and the data durable", err)
	}
	// A device without a cache is not asked.
	d = newDisk(t, modern&^blk.FeatureFlush, configuration(), blk.Options{}, 64).start(t)
	if err := d.Flush(); err != nil || d.Info().WriteCache || d.Count[virtiotest.DiskFlush] != 0 {
		t.Errorf("Flush without a cache = %v, asked %d times; want nil, 0", err, d.Count[virtiotest.DiskFlush])
	}
}

func TestRefused(t *testing.T) {
	d := newDisk(t, modern, configuration(), blk.Options{}, 64)
	ro := newDisk(t, modern|blk.FeatureReadOnly, configuration(), blk.Options{}, 64)
	plain := newDisk(t, transport|blk.FeatureSegMax, configuration(), blk.Options{}, 64)
	c := configuration()
	c.SegMax = 2
	narrow := newDisk(t, modern, c, blk.Options{}, 64)
	const size = 4 << 20
	buf := d.mem.Buffer(0, 1024)
	other := narrow.mem.Buffer(0, 512)
	fine := make([][]byte, 512)
	for i := range fine {
		j := (i * 5) % 512
		fine[i] = other[j : j+1]
	}
	for name, tt := range map[string]struct {
		d    disk
		r    blk.Request
		want error
	}{
		"offset":          {d, blk.Request{Offset: 100, Buffers: [][]byte{buf}}, blk.ErrAlign},
		"length":          {d, blk.Request{Buffers: [][]byte{buf[:700]}}, blk.ErrAlign},
		"negative":        {d, blk.Request{Offset: -512, Buffers: [][]byte{buf}}, blk.ErrRange},
		"negative length": {d, blk.Request{Op: blk.Discard, Length: -512}, blk.ErrRange},
		"across the end":  {d, blk.Request{Offset: size - 512, Buffers: [][]byte{buf}}, blk.ErrRange},
		"beyond the end":  {d, blk.Request{Offset: size + 512, Buffers: [][]byte{buf}}, blk.ErrRange},
		"overflow":        {d, blk.Request{Op: blk.Discard, Offset: 512, Length: math.MaxInt64 &^ 511}, blk.ErrRange},
		"operation":       {d, blk.Request{Op: 77}, blk.ErrOp},
		"write":           {ro, blk.Request{Op: blk.Write, Buffers: [][]byte{buf}}, blk.ErrReadOnly},
		"discard":         {ro, blk.Request{Op: blk.Discard, Length: 512}, blk.ErrReadOnly},
		"zeroes":          {ro, blk.Request{Op: blk.WriteZeroes, Length: 512}, blk.ErrReadOnly},
		"no discard":      {plain, blk.Request{Op: blk.Discard, Length: 512}, blk.ErrUnsupported},
		"no zeroes":       {plain, blk.Request{Op: blk.WriteZeroes, Length: 512}, blk.ErrUnsupported},
		"pieces":          {narrow, blk.Request{Buffers: fine}, blk.ErrPieces},
		"nothing":         {d, blk.Request{}, nil},
	} {
		calls := 0
		tt.r.Done = func(*blk.Request) { calls++ }
		tt.d.Submit(0, &tt.r)
		if calls != 1 || !errors.Is(tt.r.Err, tt.want) {
			t.Errorf("%s: Done called %d times with %v; want once, %v", name, calls, tt.r.Err, tt.want)
		}
		if tt.d.Disk.Device.Queues[0].Available() != 0 {
			t.Errorf("%s: the device was asked", name)
		}
	}
}

// An error of one part is the request's, and the device goes on.
func TestDeviceErrors(t *testing.T) {
	for status, want := range map[byte]error{virtiotest.DiskIOErr: blk.ErrIO, virtiotest.DiskUnsupported: blk.ErrUnsupported} {
		c := configuration()
		c.SegMax = 1
		d := newDisk(t, modern, c, blk.Options{}, 8)
		n := 0
		d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
			if n++; n == 3 {
				d.Answer(q, c, status, 1)
			}
			return n == 3
		}
		d.start(t)
		buf := d.mem.Buffer(0, 40*4096) // 40 parts, of which 8 are with the device
		if err := d.ReadAt([][]byte{buf}, 0); !errors.Is(err, want) {
			t.Errorf("status %d: ReadAt = %v; want %v", status, err, want)
		}
		if n > 20 {
			t.Errorf("status %d: %d parts went out after the error in the third", status, n)
		}
		if err := d.ReadAt([][]byte{buf}, 0); err != nil {
			t.Errorf("status %d: ReadAt after that = %v; want nil", status, err)
		}
	}
}

// The error of the one part that a queue has room for ends the request, once.
func TestErrorOfTheOnlyPart(t *testing.T) {
	c := configuration()
	c.SegMax = 1
	d := newDisk(t, modern&^virtio.FeatureIndirectDesc, c, blk.Options{}, 4)
	calls := 0
	r := &blk.Request{Buffers: [][]byte{d.mem.Buffer(0, 4*4096)}, Done: func(*blk.Request) { calls++ }}
	d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
		d.Answer(q, c, virtiotest.DiskIOErr, 1)
		return true
	}
	d.Submit(0, r)
	d.Serve()
	d.HandleInterrupt()
	if calls != 1 || !errors.Is(r.Err, blk.ErrIO) {
		t.Errorf("Done called %d times with %v; want once, %v", calls, r.Err, blk.ErrIO)
	}
}

func TestHostileDevice(t *testing.T) {
	type answer = func(d disk, q *virtiotest.Queue, c *virtiotest.Chain)
	for name, tt := range map[string]struct {
		answer answer
		want   error
	}{
		"unknown status": {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { d.Answer(q, c, 3, 513) }, blk.ErrStatus},
		"no status":      {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head, 513) }, blk.ErrNoStatus},
		"short":          {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { d.Answer(q, c, 0, 511) }, blk.ErrShort},
		"nothing":        {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { d.Answer(q, c, 0, 0) }, blk.ErrShort},
		"long":           {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { d.Answer(q, c, 0, 514) }, virtio.ErrUsedLength},
		"unknown id":     {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head+1, 513) }, virtio.ErrUsedID},
		"index":          {func(d disk, q *virtiotest.Queue, c *virtiotest.Chain) { q.SetUsedIndex(8); q.Push(0, 0) }, virtio.ErrUsedIndex},
	} {
		t.Run(name, func(t *testing.T) {
			// Without EVENT_IDX, so that the device interrupts in any case.
			d := newDisk(t, modern&^virtio.FeatureEventIdx, configuration(), blk.Options{}, 64)
			d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
				tt.answer(d, q, c)
				q.Flush()
				return true
			}
			d.start(t)
			buf := d.mem.Buffer(0, 512)
			for i := range 2 {
				if err := d.ReadAt([][]byte{buf}, 0); !errors.Is(err, tt.want) {
					t.Errorf("ReadAt %d = %v; want %v", i, err, tt.want)
				}
			}
			if d.Disk.Device.Alive() || !errors.Is(d.Err(), tt.want) {
				t.Errorf("device alive %v, Err %v; want false, %v", d.Disk.Device.Alive(), d.Err(), tt.want)
			}
		})
	}
}

// Devices leave out the status byte when they count, or all of it if they are
// old (§2.7.8).
func TestLengthsThatAreAllowed(t *testing.T) {
	for name, tt := range map[string]struct {
		features uint64
		written  uint32
	}{"without status": {modern, 512}, "legacy": {0, 0}} {
		d := newDisk(t, tt.features, configuration(), blk.Options{}, 64)
		d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool { d.Answer(q, c, 0, tt.written); return true }
		d.start(t)
		if err := d.ReadAt([][]byte{d.mem.Buffer(0, 512)}, 0); err != nil {
			t.Errorf("%s: ReadAt = %v; want nil", name, err)
		}
	}
}

// A batch notifies the device once.
func TestBatch(t *testing.T) {
	d := newDisk(t, modern, configuration(), blk.Options{}, 64)
	notified, done := 0, 0
	d.Disk.Device.Notified = func(int) { notified++ }
	var reqs []*blk.Request
	for range 10 {
		reqs = append(reqs, &blk.Request{Buffers: [][]byte{d.mem.Buffer(0, 4096)}, Done: func(*blk.Request) { done++ }})
	}
	d.Submit(0, reqs...)
	d.Serve()
	d.HandleInterrupt()
	if notified != 1 || done != 10 {
		t.Errorf("10 requests: %d notifications, %d done; want 1, 10", notified, done)
	}
}

func TestQueueChoice(t *testing.T) {
	for name, tt := range map[string]struct {
		have     uint16
		opt      blk.Options
		queues   int
		reserved bool
		cpus     []int
		want     []int // requests by queue
	}{
		"one":              {1, blk.Options{Queues: 4, Reserve: true}, 1, false, []int{0, 1, 2, blk.AnyQueue}, []int{4}},
		"by CPU":           {3, blk.Options{Queues: 3}, 3, false, []int{0, 1, 2, 4, 5}, []int{1, 2, 2}},
		"in turn":          {3, blk.Options{Queues: 3}, 3, false, []int{-1, -1, -1, -1, -1, -1}, []int{2, 2, 2}},
		"fewer than there": {4, blk.Options{Queues: 2}, 2, false, []int{0, 1, 2, 3}, []int{2, 2, 0, 0}},
		"reserved":         {3, blk.Options{Queues: 2, Reserve: true}, 2, true, []int{0, 1, 2, 3, -1, -1}, []int{3, 3, 0}},
		"reserved of two":  {2, blk.Options{Queues: 4, Reserve: true}, 1, true, []int{0, 1, 2, -1}, []int{4, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			c := configuration()
			c.Queues = tt.have
			sizes := []int{64, 64, 64, 64}[:tt.have]
			d := newDisk(t, modern, c, tt.opt, sizes...)
			if i := d.Info(); i.Queues != tt.queues || i.Reserved != tt.reserved {
				t.Errorf("%d queues, reserved %v; want %d, %v", i.Queues, i.Reserved, tt.queues, tt.reserved)
			}
			done := 0
			for _, cpu := range tt.cpus {
				d.Submit(cpu, &blk.Request{Buffers: [][]byte{d.mem.Buffer(0, 512)}, Done: func(*blk.Request) { done++ }})
			}
			for i, q := range d.Disk.Device.Queues {
				got := 0
				if q.Ready {
					got = q.Available()
				}
				if got != tt.want[i] {
					t.Errorf("queue %d has %d requests; want %d", i, got, tt.want[i])
				}
			}
			d.Serve()
			for i := range tt.queues {
				d.HandleQueue(i)
			}
			if q := d.Reserved(); (q != nil) != tt.reserved || q != nil && q.Index() != tt.queues {
				t.Errorf("Reserved() = %v; want one: %v", q, tt.reserved)
			}
			if done != len(tt.cpus) {
				t.Errorf("%d requests done; want %d", done, len(tt.cpus))
			}
		})
	}
}

// Many goroutines on few queues, whose device answers out of order; Done submits
// again.
func TestConcurrent(t *testing.T) {
	c := configuration()
	c.Queues, c.SegMax = 3, 3
	d := newDisk(t, modern, c, blk.Options{Queues: 2, Reserve: true}, 8, 8, 8)
	held := map[*virtiotest.Queue][]virtiotest.Chain{}
	d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
		held[q] = append(held[q], virtiotest.Chain{Head: c.Head, Read: append([][]byte(nil), c.Read...), Write: append([][]byte(nil), c.Write...)})
		for len(held[q]) > 0 && (len(held[q]) == 3 || q.Available() == 0) {
			last := len(held[q]) - 1
			d.Finish(q, &held[q][last])
			held[q] = held[q][:last]
		}
		return true
	}
	d.start(t)
	const goroutines, rounds, region = 8, 60, 128 << 10
	var wg sync.WaitGroup
	for g := range goroutines {
		out, in := d.mem.Buffer(100*g, 40<<10), d.mem.Buffer(50*g, 40<<10)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(g)))
			cpu := []int{0, 1, 2, blk.AnyQueue}[g%4]
			for range rounds {
				n := (1 + rnd.IntN(80)) * 512
				at := int64(g*region + rnd.IntN(100)*512)
				copy(out[:n], noise[rnd.IntN(1<<20):])
				ready := make(chan error)
				read := &blk.Request{Offset: at, Buffers: [][]byte{in[:n]}, Done: func(r *blk.Request) { go func() { ready <- r.Err }() }}
				write := &blk.Request{Op: blk.Write, Offset: at, Buffers: [][]byte{out[:n]}, Done: func(w *blk.Request) {
					if w.Err != nil {
						t.Error(w.Err)
					}
					d.Submit(cpu, read)
				}}
				d.Submit(cpu, write)
				if err := <-ready; err != nil || !bytes.Equal(in[:n], out[:n]) {
					t.Errorf("read = %v, same bytes %v", err, bytes.Equal(in[:n], out[:n]))
					return
				}
			}
		})
	}
	wg.Wait()
}

// Requests that are submitted while the device is closed all end.
func TestCloseConcurrent(t *testing.T) {
	for range 20 {
		d := newDisk(t, modern, configuration(), blk.Options{}, 8).start(t)
		var wg sync.WaitGroup
		for range 4 {
			buf := d.mem.Buffer(0, 20*4096)
			wg.Go(func() {
				for d.ReadAt([][]byte{buf}, 0) == nil {
				}
			})
		}
		d.ReadAt([][]byte{d.mem.Buffer(0, 512)}, 0)
		d.Close()
		wg.Wait()
	}
}
