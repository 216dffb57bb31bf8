package blk_test

import (
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// fast is a disk that answers at once without looking at the data, so that what
// is measured is the driver and the rings.
type fast struct {
	disk
	c    virtiotest.Chain
	reqs []*blk.Request
	done int
}

func newFast(t testing.TB, opt blk.Options, n, pages int) *fast {
	f := &fast{disk: newDisk(t, modern, configuration(), opt, 128)}
	for i := range n {
		r := &blk.Request{Offset: int64(i) * 4096, Done: func(r *blk.Request) { f.done++ }}
		for range pages {
			r.Buffers = append(r.Buffers, f.mem.Buffer(0, virtio.PageSize))
		}
		f.reqs = append(f.reqs, r)
	}
	return f
}

// round submits all requests in one batch and has them answered.
func (f *fast) round() {
	f.done = 0
	f.Submit(0, f.reqs...)
	f.answer()
	if f.HandleInterrupt() != nil || f.done != len(f.reqs) {
		panic("requests are missing")
	}
}

// answer answers all requests that are there.
func (f *fast) answer() {
	q := f.Disk.Device.Queues[0]
	for more := true; more; more = q.SetNotify(true) {
		for q.Pop(&f.c) {
			last := len(f.c.Write) - 1
			f.c.Write[last][0] = 0
			n := uint32(1)
			for _, b := range f.c.Write[:last] {
				n += uint32(len(b))
			}
			q.Push(f.c.Head, n)
		}
		q.Flush()
	}
}

func stalled(blk.Op, int64, int64, time.Duration) {}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for name, opt := range map[string]blk.Options{"plain": {}, "watched": {Stalled: stalled}} {
		for _, pages := range []int{1, 8, 100} { // direct, with tables, in parts
			f := newFast(t, opt, 4, pages)
			f.round()
			if n := testing.AllocsPerRun(100, f.round); n != 0 {
				t.Errorf("%s: 4 requests of %d pages make %v allocations; want 0", name, pages, n)
			}
		}
	}
}

// Neither do the calls that block.
func TestBlockingDoesNotAllocate(t *testing.T) {
	f := newFast(t, blk.Options{}, 1, 1)
	line, work := virtiotest.NewLine(), virtiotest.NewLine()
	defer line.Close()
	defer work.Close()
	f.Disk.Device.Raised = line.Raise
	f.Disk.Device.Notified = func(int) { work.Raise(0) }
	go func() {
		answer := f.answer
		for work.Wait() == nil {
			f.Disk.Device.Do(answer)
		}
	}()
	go virtio.Serve(line.Wait, f.HandleInterrupt)
	round := func() {
		for _, err := range [...]error{f.ReadAt(f.reqs[0].Buffers, 0), f.WriteAt(f.reqs[0].Buffers, 512), f.Flush()} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("ReadAt, WriteAt and Flush make %v allocations; want 0", n)
	}
}

func benchmark(b *testing.B, opt blk.Options, n, pages int) {
	f := newFast(b, opt, n, pages)
	b.ReportAllocs()
	for b.Loop() {
		f.round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
}

func BenchmarkOnePage(b *testing.B)          { benchmark(b, blk.Options{}, 1, 1) }
func BenchmarkOnePageWatched(b *testing.B)   { benchmark(b, blk.Options{Stalled: stalled}, 1, 1) }
func BenchmarkBatch32(b *testing.B)          { benchmark(b, blk.Options{}, 32, 1) }
func BenchmarkBatch32Watched(b *testing.B)   { benchmark(b, blk.Options{Stalled: stalled}, 32, 1) }
func BenchmarkBatch8Of16Pages(b *testing.B)  { benchmark(b, blk.Options{}, 8, 16) }
func BenchmarkBatch8Of100Pages(b *testing.B) { benchmark(b, blk.Options{}, 8, 100) }
