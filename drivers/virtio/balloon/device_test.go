package balloon_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/balloon"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const page = virtio.PageSize

// Features of the balloon device (§5.5.3).
const (
	statistics = 1 << 1
	hinting    = 1 << 3
	reporting  = 1 << 5
)

// host is the device, and the guest's frames.
type host struct {
	*virtiotest.Device
	reports int // number of the queue for reports

	mu        sync.Mutex
	dirty     []bool          // free and backed, by frame; the frames begin at base
	clean     []bool          // free and not backed
	base      uint64          // address of frame 0
	balloon   map[uint32]bool // frames that the device took
	reported  []int           // bytes per report
	ballooned uint64
	freed     chan struct{} // ends a WaitFreed
	waits     []int         // what WaitFreed was asked
	spoil     func(q *virtiotest.Queue, c *virtiotest.Chain) bool
}

// newHost returns a guest with n free frames, which were used, in the pages of
// a virtiotest.Memory.
func newHost(features uint64, n int, queues ...int) *host {
	mem := virtiotest.NewMemory(n + 16)
	_, phys, _ := mem.Alloc(n * page)
	h := &host{base: phys, dirty: make([]bool, n), clean: make([]bool, n), balloon: map[uint32]bool{}, freed: make(chan struct{}, 1)}
	for i := range h.dirty {
		h.dirty[i] = true
	}
	h.Device = virtiotest.NewDevice(virtio.TypeBalloon, mem, features, make([]byte, 8), queues...)
	h.reports = len(queues) - 1
	return h
}

func (h *host) start(t *testing.T, opt balloon.Options) *balloon.Device {
	t.Helper()
	line := h.Answer(t, h.serve)
	d, err := balloon.New(h.Device, h.Memory, h, opt)
	if err != nil {
		t.Fatal(err)
	}
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(func() { d.Close(); close(h.freed) })
	return d
}

// serve is the device at work on one chain.
func (h *host) serve(i int, q *virtiotest.Queue, c *virtiotest.Chain) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.spoil != nil && h.spoil(q, c):
	case i < 2:
		pfns := c.Data(nil)
		for len(pfns) > 0 {
			pfn := binary.LittleEndian.Uint32(pfns)
			if h.balloon[pfn] == (i == 0) {
				panic("a page is inflated or deflated twice")
			}
			if h.balloon[pfn] = i == 0; i == 1 {
				delete(h.balloon, pfn)
			}
			pfns = pfns[4:]
		}
		q.Push(c.Head, 0)
	case i == h.reports:
		n := 0
		for _, w := range c.Write {
			n += len(w)
		}
		h.reported = append(h.reported, n)
		q.Push(c.Head, 0)
	default:
		panic("a buffer in a queue that the driver does not use")
	}
	q.Flush()
}

func (h *host) Take(n int, used bool) (start, end uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, free := range [][]bool{h.dirty, h.clean} {
		if i := slices.Index(free, true); i >= 0 {
			from := i
			for ; i < len(free) && free[i] && i-from < n/page; i++ {
				free[i] = false
			}
			return h.base + uint64(from)*page, h.base + uint64(i)*page
		}
		if used {
			break
		}
	}
	return 0, 0
}

func (h *host) Give(start, end uint64, clean bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.dirty
	if clean {
		list = h.clean
	}
	for ; start < end; start += page {
		list[(start-h.base)/page] = true
	}
}

func (h *host) Free() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint64(count(h.dirty)+count(h.clean)) * page
}

func (h *host) WaitFreed(n int) error {
	h.mu.Lock()
	h.waits = append(h.waits, n)
	h.mu.Unlock()
	if _, ok := <-h.freed; !ok {
		return virtio.ErrClosed
	}
	return nil
}

func (h *host) Ballooned(n uint64) { h.ballooned = n }

func count(list []bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// want sets the host's wish, in pages.
func (h *host) want(pages uint32) {
	h.SetConfig(0, binary.LittleEndian.AppendUint32(nil, pages)...)
}

func (h *host) actual() uint32 { return h.Config().Read32(4) }

const modern = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc | statistics | reporting

func TestReport(t *testing.T) {
	for name, features := range map[string]uint64{
		"legacy": statistics | reporting, "modern": modern, "direct descriptors": modern &^ virtio.FeatureIndirectDesc,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(features, 500, 128, 128, 128, 32)
			h.Old = features&virtio.FeatureVersion1 == 0
			d := h.start(t, balloon.Options{})
			for i := 1; i < 200; i += 2 {
				h.dirty[i] = false // in use: runs of one page, then one of 301
			}
			if err := d.Report(); err != nil {
				t.Fatal(err)
			}
			if n, left := count(h.clean), count(h.dirty); n != 400 || left != 0 {
				t.Errorf("%d pages reported, %d not; want 400, 0", n, left)
			}
			// 32 runs fit in one report, and a report takes at most half.
			if got, want := h.reported[:3], []int{32 * page, 32 * page, 32 * page}; !slices.Equal(got, want) {
				t.Errorf("first reports %d bytes; want %d", got, want)
			}
			for i, n := range h.reported {
				if n > 200*page {
					t.Errorf("report %d takes %d of 400 free pages", i, n/page)
				}
			}
		})
	}
}

// §5.5.2 and what devices make of it.
func TestReportingQueue(t *testing.T) {
	for _, tt := range []struct {
		name     string
		features uint64
		queues   []int
	}{
		{"all queues", modern | hinting, []int{128, 128, 128, 128, 32}},
		{"no hinting", modern, []int{128, 128, 128, 32}},
		{"no hinting, gap", modern, []int{128, 128, 128, 0, 32}},
		{"neither", modern &^ statistics, []int{128, 128, 32}},
		{"neither, gaps", modern &^ statistics, []int{128, 128, 0, 0, 32}},
	} {
		h := newHost(tt.features, 8, tt.queues...)
		d := h.start(t, balloon.Options{})
		if err := d.Report(); err != nil || len(h.reported) == 0 {
			t.Errorf("%s: Report = %v, %d reports", tt.name, err, len(h.reported))
		}
	}
}

func TestNoReporting(t *testing.T) {
	h := newHost(modern&^reporting, 8, 128, 128, 128)
	d := h.start(t, balloon.Options{})
	if err := d.Report(); err != nil || d.Reporting() || count(h.dirty) != 8 {
		t.Errorf("Report = %v, reporting %v; want nothing to happen", err, d.Reporting())
	}
}

func TestResize(t *testing.T) {
	const frames, reserve = 10_000, 100
	h := newHost(modern, frames, 128, 128, 128, 32)
	for i := 3; i < 2000; i += 5 {
		h.dirty[i] = false
	}
	free := uint32(count(h.dirty))
	d := h.start(t, balloon.Options{Reserve: reserve * page})
	for _, step := range []struct{ target, want uint32 }{
		{1, 1}, {700, 700}, {9000, 9000}, {9000, 9000}, {300, 300}, {301, 301}, {0, 0},
		{1<<32 - 1, free - reserve}, {free, free - reserve}, {17, 17}, {0, 0},
	} {
		h.want(step.target)
		if err := d.Resize(); err != nil {
			t.Fatal(err)
		}
		got := []uint32{uint32(len(h.balloon)), h.actual(), uint32(h.ballooned / page), free - uint32(h.Free()/page)}
		for _, n := range got {
			if n != step.want {
				t.Errorf("target %d: the device has, is told, the guest is told, and misses %d pages; want %d each", step.target, got, step.want)
				break
			}
		}
	}
}

// The configuration change brings the balloon to its size without anyone asking.
func TestServeTarget(t *testing.T) {
	h := newHost(modern, 1000, 128, 128, 128, 32)
	h.want(10)
	d := h.start(t, balloon.Options{})
	done := make(chan error)
	go func() { done <- d.ServeTarget() }()
	for _, n := range []uint32{10, 900, 5} {
		h.want(n)
		for h.actual() != n {
			time.Sleep(time.Millisecond)
		}
	}
	h.NeedReset()
	if err := <-done; !errors.Is(err, virtio.ErrNeedsReset) {
		t.Errorf("ServeTarget = %v; want %v", err, virtio.ErrNeedsReset)
	}
}

// Freed memory is reported once it has been free for a while, and it fills a
// balloon that is short first.
func TestServeFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(modern, 1000, 128, 128, 128, 32)
		h.dirty = make([]bool, 1000)
		d := h.start(t, balloon.Options{Reserve: 10 * page, Delay: time.Second})
		go d.ServeFreed()
		free := func(n int) {
			for i := range n {
				h.dirty[i] = true
			}
			h.freed <- struct{}{}
		}
		free(500)
		time.Sleep(time.Second - 1)
		synctest.Wait()
		if n := count(h.clean); n != 0 {
			t.Errorf("%d pages reported too early", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := count(h.clean); n != 500 {
			t.Errorf("%d pages reported; want 500", n)
		}
		clear(h.clean)
		h.want(700)
		free(600)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(h.balloon) != 590 || count(h.clean) != 10 {
			t.Errorf("balloon has %d, %d reported; want 590 and 10", len(h.balloon), count(h.clean))
		}
		if want := []int{20 * page, 20 * page, 20 * page}; !slices.Equal(h.waits, want) {
			t.Errorf("waited for %d freed bytes; want %d", h.waits, want)
		}
	})
}

// Without reporting nobody waits for freed memory unless the balloon is short.
func TestServeFreedShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(modern&^reporting, 100, 128, 128, 128)
		clear(h.dirty[20:])
		d := h.start(t, balloon.Options{Reserve: 10 * page})
		go d.ServeTarget()
		go d.ServeFreed()
		synctest.Wait()
		if len(h.waits) != 0 {
			t.Errorf("waits for freed memory; nobody wants it")
		}
		h.want(50)
		synctest.Wait()
		if len(h.waits) != 1 || len(h.balloon) != 10 {
			t.Errorf("waits %d times, balloon has %d pages; want 1 and 10", len(h.waits), len(h.balloon))
		}
		for i := 20; i < 80; i++ {
			h.dirty[i] = true
		}
		h.freed <- struct{}{}
		synctest.Wait()
		if len(h.waits) != 1 || len(h.balloon) != 50 {
			t.Errorf("waits %d times, balloon has %d pages; want 1 and 50", len(h.waits), len(h.balloon))
		}
	})
}

func TestHostileDevice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(q *virtiotest.Queue, c *virtiotest.Chain)
		want  error
	}{
		{"written to a readable buffer", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head+1, 4) }, virtio.ErrUsedID},
		{"unknown id", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(70, 0) }, virtio.ErrUsedID},
		{"index", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.SetUsedIndex(8); q.Push(0, 0) }, virtio.ErrUsedIndex},
	} {
		for _, what := range []string{"inflate", "report"} {
			// Without EVENT_IDX, so that the device interrupts in any case.
			h := newHost(modern&^virtio.FeatureEventIdx, 100, 128, 128, 128, 32)
			h.spoil = func(q *virtiotest.Queue, c *virtiotest.Chain) bool { tt.spoil(q, c); return true }
			d := h.start(t, balloon.Options{})
			f := d.Report
			if what == "inflate" {
				h.want(10)
				f = d.Resize
			}
			if err := f(); !errors.Is(err, tt.want) {
				t.Errorf("%s, %s: %v; want %v", what, tt.name, err, tt.want)
			}
			if h.Alive() {
				t.Errorf("%s, %s: the device was not reset", what, tt.name)
			}
			if what == "report" && (count(h.dirty) != 100 || count(h.clean) != 0) {
				t.Errorf("%s: %d pages dirty, %d clean; want all 100 back as they were", tt.name, count(h.dirty), count(h.clean))
			}
			if err := f(); err == nil {
				t.Errorf("%s, %s: works on after the failure", what, tt.name)
			}
		}
	}
}

func TestRestlessConfiguration(t *testing.T) {
	h := newHost(modern, 8, 128, 128, 128, 32)
	d := h.start(t, balloon.Options{})
	h.RestlessSpace = true
	if err := d.ServeTarget(); !errors.Is(err, virtio.ErrConfigUnstable) {
		t.Errorf("ServeTarget = %v; want %v", err, virtio.ErrConfigUnstable)
	}
}

func TestNewRefuses(t *testing.T) {
	mem := virtiotest.NewMemory(8)
	for _, tt := range []struct {
		dev  *virtiotest.Device
		want error
	}{
		{virtiotest.NewDevice(virtio.TypeNet, mem, modern, nil, 64), balloon.ErrNotBalloon},
		{virtiotest.NewDevice(virtio.TypeBalloon, mem, modern, nil, 64), virtio.ErrNoQueue},
		{virtiotest.NewDevice(virtio.TypeBalloon, mem, modern, nil, 64, 64), virtio.ErrNoQueue},
		{virtiotest.NewDevice(virtio.TypeBalloon, mem, modern, nil, 64, 64, 64, 3), virtio.ErrQueueSize},
	} {
		if _, err := balloon.New(tt.dev, mem, nil, balloon.Options{}); !errors.Is(err, tt.want) {
			t.Errorf("New = %v; want %v", err, tt.want)
		}
	}
}
