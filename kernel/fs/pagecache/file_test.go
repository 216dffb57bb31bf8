package pagecache

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
)

// model is a file beside what it should contain.
type model struct {
	t    *testing.T
	r    *rand.Rand
	m    *fakeMachine
	b    *fakeFile
	f    *File
	want []byte
}

const modelSize = 3 << 20

func newModel(t *testing.T, seed uint64, pages int) *model {
	m := newMachine(pages)
	b := newBacking()
	return &model{t: t, r: rand.New(rand.NewPCG(seed, 1)), m: m, b: b, f: New(m).NewFile(b, 0)}
}

func (m *model) write() {
	p := make([]byte, m.r.IntN(1+m.r.IntN(300<<10)))
	for i := range p {
		p[i] = byte(m.r.Uint32())
	}
	off := m.r.Int64N(modelSize)
	n, e := m.f.WriteAt(p, off)
	if e != 0 || n != len(p) {
		m.t.Fatalf("write of %d at %d: %d, %v", len(p), off, n, e)
	}
	if n > 0 {
		m.want = append(m.want, make([]byte, max(off+int64(n)-int64(len(m.want)), 0))...)
		copy(m.want[off:], p)
	}
}

func (m *model) read() {
	p := make([]byte, m.r.IntN(1+m.r.IntN(600<<10)))
	off := m.r.Int64N(modelSize)
	n, e := m.f.ReadAt(p, off)
	want := m.want[min(off, int64(len(m.want))):]
	want = want[:min(len(p), len(want))]
	if e != 0 || !bytes.Equal(p[:n], want) {
		at := 0
		for at < min(n, len(want)) && p[at] == want[at] {
			at++
		}
		m.t.Fatalf("read of %d at %d: %d bytes (want %d), %v, differs at %d", len(p), off, n, len(want), e, at)
	}
}

func (m *model) truncate() {
	size := m.r.Int64N(modelSize)
	if e := m.f.Truncate(size, func() syscall.Errno { return m.b.truncate(size) }); e != 0 {
		m.t.Fatal("truncate:", e)
	}
	m.want = append(m.want, make([]byte, max(size-int64(len(m.want)), 0))...)[:size]
}

func (m *model) punch() {
	off := m.r.Int64N(modelSize)
	end := off + m.r.Int64N(400<<10)
	e := m.f.Punch(off, end, func(off, end int64) syscall.Errno {
		m.b.mu.Lock()
		defer m.b.mu.Unlock()
		clear(m.b.data[min(off, int64(len(m.b.data))):min(end, int64(len(m.b.data)))])
		return 0
	})
	if e != 0 {
		m.t.Fatal("punch:", e)
	}
	if end = min(end, int64(len(m.want))); off < end {
		clear(m.want[off:end])
	}
}

func (m *model) sync() {
	if e := m.f.SyncAll(); e != 0 {
		m.t.Fatal("sync:", e)
	}
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	got := make([]byte, len(m.want))
	copy(got, m.b.data)
	if !bytes.Equal(got, m.want) {
		m.t.Fatal("what was synced is not what was written")
	}
	if len(m.b.reserved) > 0 {
		m.t.Fatal("reservations are left after a sync:", len(m.b.reserved))
	}
}

// Reads return what was written, whatever is evicted by the cache or the machine, synced,
// truncated or punched in between.
func TestRandomOperations(t *testing.T) {
	for seed := range uint64(seeds()) {
		m := newModel(t, seed, 1200)
		for range 300 {
			switch m.r.IntN(12) {
			case 0:
				m.truncate()
			case 1:
				m.sync()
			case 2:
				m.punch()
			case 3, 4, 5:
				m.write()
			case 6:
				for range 40 {
					m.m.reclaim(m.r.IntN(40))
				}
			case 7:
				m.f.Release()
				m.f.size.Store(int64(len(m.want)))
			default:
				m.read()
			}
		}
		m.sync()
		m.f.Release()
		if _, free := m.m.Memory(); free != 1200*PageSize {
			t.Fatalf("seed %d: %d of 1200 pages are free at the end", seed, free/PageSize)
		}
	}
}

// Readers, writers of other parts, writeback and a machine that evicts pages do not disturb
// each other.
func TestConcurrent(t *testing.T) {
	m := newMachine(700)
	f := New(m).NewFile(newBacking(), 0)
	stop := make(chan struct{})
	var others, writers sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				m.reclaim(i % 64)
				if i%100 == 0 {
					f.SyncAll()
				}
			}
		}
	})
	for w := range 4 {
		writers.Go(func() {
			const part = 1 << 20
			p, q := make([]byte, 10000), make([]byte, 10000)
			for i := range 150 {
				off := int64(w*part + i*5000)
				for k := range p {
					p[k] = byte(i + k + w)
				}
				if n, e := f.WriteAt(p, off); n != len(p) || e != 0 {
					t.Error("write:", n, e)
					return
				}
				if n, e := f.ReadAt(q, off); n != len(q) || e != 0 || !bytes.Equal(p, q) {
					t.Error("read back:", n, e)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	others.Wait()
}

// An error of writeback is the result of Sync until the data is stored.
func TestWriteError(t *testing.T) {
	b := newBacking()
	f := New(newMachine(600)).NewFile(b, 0)
	f.WriteAt(make([]byte, 100000), 0)
	b.fail = syscall.EIO
	for range 2 {
		if e := f.SyncAll(); e != syscall.EIO {
			t.Fatal("sync:", e)
		}
	}
	b.fail = 0
	if e := f.SyncAll(); e != 0 || len(b.data) < 100000 {
		t.Fatal("sync of a device that works again:", e, len(b.data))
	}
	b.room = 3
	if n, e := f.WriteAt(make([]byte, 5*PageSize), 0); n != 0 || e != syscall.ENOSPC {
		t.Fatal("write without space:", n, e)
	}
	if n, e := f.WriteAt(make([]byte, 3*PageSize), 0); n != 3*PageSize || e != 0 {
		t.Fatal("write with space:", n, e)
	}
}

// A large sequential write is written back in large requests.
func TestBatches(t *testing.T) {
	b := newBacking()
	f := New(newMachine(60000)).NewFile(b, 0)
	f.WriteAt(make([]byte, 8<<20), 0)
	f.SyncAll()
	if b.writes > 10 {
		t.Errorf("8 MiB took %d writes", b.writes)
	}
}

// Pages that are not contiguous are written back together.
func TestScatteredBatch(t *testing.T) {
	b := newBacking()
	f := New(newMachine(60000)).NewFile(b, 0)
	for i := int64(0); i < 256; i += 2 {
		f.WriteAt(make([]byte, PageSize), i*PageSize)
	}
	f.SyncAll()
	if b.writes != 1 {
		t.Errorf("128 pages of 1 MiB took %d writes; want 1", b.writes)
	}
}

// If some of the pages that are written together fail, those alone are dirty again.
func TestScatteredFailure(t *testing.T) {
	b := newBacking()
	f := New(newMachine(60000)).NewFile(b, 0)
	for i := int64(0); i < 256; i += 2 {
		f.WriteAt(make([]byte, PageSize), i*PageSize)
	}
	b.badPage = 100
	if e := f.SyncAll(); e != syscall.EIO {
		t.Errorf("sync = %v; want EIO", e)
	}
	if n := f.dirty.Load(); n != 1 {
		t.Errorf("%d pages are dirty; want the bad one", n)
	}
	b.badPage = 0
	if e := f.SyncAll(); e != 0 || f.dirty.Load() != 0 || !b.stored[100] {
		t.Errorf("sync of a device that works again = %v, %d pages dirty", e, f.dirty.Load())
	}
}

// seeds is the number of random runs of a test.
func seeds() int {
	if testing.Short() {
		return 3
	}
	return 20
}
