package jbd2

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

var crashes = flag.Int("crashes", 0, "power cuts per workload of TestCrash; 0: 40, or 4 with -short")

func cuts() int {
	switch {
	case *crashes > 0:
		return *crashes
	case testing.Short():
		return 4
	}
	return 40
}

// shorter is n, or a quarter of it with -short.
func shorter(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

// entry is one event in the life of a block: part of the model that a disk after a power
// cut is compared with.
type entry struct {
	what  what
	tid   uint64 // transaction of metadata and freed
	seed  uint64 // of the content
	begin int    // of data: the recorded event before its write
	end   int    // of data: the recorded event after the flush that made it durable; 0: never
}

type what int

const (
	metadata what = iota
	freed
	data
)

// content is the block that a seed stands for; some begin with the magic.
func content(seed uint64, bs int) []byte {
	p := make([]byte, bs)
	random(rand.New(rand.NewPCG(seed, 0)))(p)
	return p
}

// workload changes blocks from first on by several goroutines. Every transaction writes
// its number into block first.
type workload struct {
	j     *Journal
	rec   *blocktest.Recorder
	first uint64
	n     int
	life  uint64   // how often the disk was recovered before
	base  [][]byte // contents at the beginning; nil: zeroes

	mu     sync.Mutex // guards the model; as the locks of a file system do, it admits one change at a time
	r      *rand.Rand
	seed   uint64
	blocks [][]entry
	busy   []bool // freed and not committed, or being written as data
}

type acknowledged struct{ tid uint64 }

func newWorkload(j *Journal, rec *blocktest.Recorder, first uint64, n int, r *rand.Rand) *workload {
	return &workload{j: j, rec: rec, first: first, n: n, r: r, blocks: make([][]entry, n), busy: make([]bool, n)}
}

func (w *workload) last(i int) entry {
	if l := w.blocks[i]; len(l) > 0 {
		return l[len(l)-1]
	}
	return entry{}
}

// step is one handle, then perhaps a commit, or a write of data to a freed block.
func (w *workload) step(t *testing.T) {
	h, e := w.j.Begin(24)
	if e != 0 {
		t.Errorf("Begin = %v", e)
		return
	}
	w.mu.Lock()
	set(t, h, w.first, func(p []byte) { be.PutUint64(p, w.life<<48|h.TID()) })
	for range 1 + w.r.IntN(20) {
		w.change(t, h, 1+w.r.IntN(w.n-1))
	}
	wait := w.r.IntN(4) == 0
	w.mu.Unlock()
	h.End()
	if wait {
		if e := w.j.Commit(h.TID()); e != 0 {
			t.Errorf("Commit = %v", e)
		}
		w.rec.Mark(acknowledged{h.TID()})
		w.writeData(t)
	}
}

func (w *workload) change(t *testing.T, h *Handle, i int) {
	last := w.last(i)
	switch {
	case w.busy[i]:
	case last.what == metadata && last.tid != 0 && w.r.IntN(10) == 0:
		h.Revoke(w.first+uint64(i), 1)
		w.blocks[i] = append(w.blocks[i], entry{what: freed, tid: h.TID()})
		w.busy[i] = true
		h.OnCommit(func() {
			w.mu.Lock()
			w.busy[i] = false
			w.mu.Unlock()
		})
	case last.what == metadata || w.r.IntN(3) == 0:
		w.seed++
		p := content(w.seed, w.j.cfg.BlockSize)
		if last.what == metadata {
			set(t, h, w.first+uint64(i), func(q []byte) { copy(q, p) })
		} else {
			b := w.j.New(w.first + uint64(i))
			h.Dirty(b)
			copy(b.Data, p)
			b.Put()
		}
		w.blocks[i] = append(w.blocks[i], entry{what: metadata, tid: h.TID(), seed: w.seed})
	}
}

// writeData uses a freed block for data: it writes to the device, past the journal.
func (w *workload) writeData(t *testing.T) {
	w.mu.Lock()
	i := w.r.IntN(w.n)
	if i == 0 || w.busy[i] || w.last(i).what != freed {
		w.mu.Unlock()
		return
	}
	w.busy[i] = true
	w.seed++
	e := entry{what: data, seed: w.seed, begin: w.rec.Len()}
	at := len(w.blocks[i])
	w.blocks[i] = append(w.blocks[i], e)
	w.j.Forget(w.first + uint64(i))
	w.mu.Unlock()
	bs := w.j.cfg.BlockSize
	w.rec.WriteAt([][]byte{content(e.seed, bs)}, int64(w.first+uint64(i))*int64(bs))
	w.rec.Flush()
	w.mu.Lock()
	w.blocks[i][at].end = w.rec.Len()
	w.busy[i] = false
	w.mu.Unlock()
}

// expect is the seed of the content that a block has after a power cut before event
// number cut, if transactions up to tid survived; 0 stands for the content at the
// beginning. known is false if the content may be anything.
func (w *workload) expect(i, cut int, tid uint64) (seed uint64, known bool) {
	known = true
	for _, e := range w.blocks[i] {
		switch e.what {
		case metadata:
			if e.tid > tid {
				return seed, known
			}
			seed, known = e.seed, true
		case freed:
			if e.tid > tid {
				return seed, known
			}
			known = false
		case data:
			if cut <= e.begin {
				return seed, known
			}
			seed, known = e.seed, e.end != 0 && cut >= e.end
		}
	}
	return seed, known
}

func (w *workload) content(i int, seed uint64) []byte {
	switch {
	case seed != 0:
		return content(seed, w.j.cfg.BlockSize)
	case w.base != nil:
		return w.base[i]
	}
	return make([]byte, w.j.cfg.BlockSize)
}

// check compares a journal, opened after the cut, with the model.
func (w *workload) check(j *Journal, cut int, marks []any) error {
	promised := uint64(0)
	for _, m := range marks {
		promised = max(promised, m.(acknowledged).tid)
	}
	tid := uint64(0)
	for i := range w.n {
		b, e := j.Get(w.first + uint64(i))
		if e != 0 {
			return e
		}
		p := bytes.Clone(b.Data)
		b.Put()
		if i == 0 {
			if stamp := be.Uint64(p); stamp>>48 == w.life {
				tid = stamp << 16 >> 16
			}
			if tid < promised {
				return fmt.Errorf("transaction %d was acknowledged, %d is the last one", promised, tid)
			}
			continue
		}
		if seed, known := w.expect(i, cut, tid); known && !bytes.Equal(p, w.content(i, seed)) {
			return fmt.Errorf("block %d is not as transaction %d left it (acknowledged: %d): %+v", i, tid, promised, w.blocks[i])
		}
	}
	return nil
}

func (w *workload) run(t *testing.T, goroutines, steps int) {
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range steps {
				w.step(t)
			}
		})
	}
	all.Wait()
}

// crash checks disks after power cuts at random moments.
func (w *workload) crash(t *testing.T, cfg Config, r *rand.Rand, count int, losses []blocktest.Loss, also func(disk *blocktest.Memory)) {
	cuts := make([]int, count)
	for i := range cuts {
		cuts[i] = r.IntN(w.rec.Len() + 1)
	}
	slices.Sort(cuts)
	c := w.rec.Crash()
	for _, cut := range cuts {
		c.To(cut)
		loss := losses[r.IntN(len(losses))]
		disk := c.Disk(loss, r)
		if also != nil {
			also(disk)
		}
		if err := w.recover(t, cfg, disk, cut, c.Marks(), r); err != nil {
			t.Fatalf("cut before event %d, loss %d: %v", cut, loss, err)
		}
	}
}

// recover opens a disk read-only, then recovers it, then cuts the power during the
// recovery and recovers again.
func (w *workload) recover(t *testing.T, cfg Config, disk *blocktest.Memory, cut int, marks []any, r *rand.Rand) error {
	cfg.Device, cfg.ReadOnly = disk, true
	j, err := Open(cfg)
	if err != nil {
		return fmt.Errorf("read-only: %w", err)
	}
	if err := w.check(j, cut, marks); err != nil {
		return fmt.Errorf("read-only: %w", err)
	}
	cfg.ReadOnly = false
	rec := blocktest.NewRecorder(disk)
	cfg.Device = rec
	if j, err = Open(cfg); err != nil {
		return err
	}
	if err := w.check(j, cut, marks); err != nil {
		return err
	}
	if rec.Len() == 0 {
		return nil
	}
	again := rec.Crash()
	again.To(r.IntN(rec.Len() + 1))
	cfg.Device = again.Disk(blocktest.Torn, r)
	if j, err = Open(cfg); err != nil {
		return fmt.Errorf("after a cut during the recovery: %w", err)
	}
	if err := w.check(j, cut, marks); err != nil {
		return fmt.Errorf("after a cut during the recovery: %w", err)
	}
	if w.life == 0 && r.IntN(4) == 0 {
		w.liveOn(t, cfg, j, r)
	}
	return nil
}

// liveOn uses a disk that was recovered and cuts the power again.
func (w *workload) liveOn(t *testing.T, cfg Config, j *Journal, r *rand.Rand) {
	next := newWorkload(j, nil, w.first, w.n, r)
	next.life = w.life + 1
	for i := range w.n {
		b, _ := j.Get(w.first + uint64(i))
		next.base = append(next.base, bytes.Clone(b.Data))
		b.Put()
	}
	disk := cfg.Device.(*blocktest.Memory).Clone()
	rec := blocktest.NewRecorder(disk)
	cfg.Device = rec
	next.j, next.rec = open(t, cfg), rec
	next.run(t, 1, 12)
	next.j.CommitAll()
	next.crash(t, cfg, r, 4, allLosses, nil)
}

var allLosses = []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random, blocktest.Torn, blocktest.Torn}

// Whatever part of unflushed writes a power cut loses: transactions are there whole and
// in order, those that Commit acknowledged are there, and freed blocks keep the data that
// was written to them.
func TestCrash(t *testing.T) {
	for i, format := range formats {
		if testing.Short() && i != 0 && i != 4 {
			continue
		}
		for _, goroutines := range []int{1, 4} {
			t.Run(fmt.Sprint(format, goroutines), func(t *testing.T) {
				bs := 1024 << (i % 3)
				cfg, dev := bare(bs, 1500, 192, format)
				cfg.MaxDirty = 64 << 10
				if goroutines == 1 {
					cfg.MaxDirty = 4 << 20 // only the room in the log is short
				}
				cfg.CacheBytes = 32 << 10
				rec := blocktest.NewRecorder(dev)
				cfg.Device = rec
				r := rand.New(rand.NewPCG(uint64(format), uint64(goroutines)))
				j := open(t, cfg)
				w := newWorkload(j, rec, 1000, 150, r)
				w.run(t, goroutines, shorter(240)/goroutines)
				if goroutines == 1 {
					j.Checkpoint()
					w.run(t, 1, 10)
				}
				if e := j.Close(); e != 0 {
					t.Fatal(e)
				}
				w.crash(t, cfg, r, cuts(), allLosses, nil)
			})
		}
	}
}

// Room in the log is used again only when a power cut cannot bring back the
// superblock that says the log starts there.
func TestCrashShortLog(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	rec := blocktest.NewRecorder(dev)
	cfg.Device = rec
	j := open(t, cfg)
	j.checkpointing = true     // no checkpoint in the background: only a commit that needs room makes one
	const large, small = 26, 2 // blocks; every fifth transaction is a large one
	for i := byte(1); i < 60; i++ {
		n := uint64(small)
		if i%5 == 0 {
			n = large
		}
		h := begin(t, j, large)
		for n := range n {
			set(t, h, 1000+n, paint(i))
		}
		h.End()
		j.Commit(h.TID())
		rec.Mark(i)
	}
	r := rand.New(rand.NewPCG(1, 2))
	c := rec.Crash()
	for cut := range rec.Len() {
		c.To(cut)
		if testing.Short() && cut%7 != 0 {
			continue
		}
		for range 3 * c.Volatile() * c.Volatile() { // many where there is a choice
			cfg.Device = c.Disk(blocktest.Torn, r)
			j := open(t, cfg)
			first, _ := j.Get(1000)
			last, _ := j.Get(1000 + large - 1)
			promised := byte(0)
			if m := c.Marks(); len(m) > 0 {
				promised = m[len(m)-1].(byte)
			}
			if got := first.Data[0]; got < promised || got/5*5 != last.Data[1023] {
				t.Fatalf("cut before event %d: blocks of transactions %d and %d; acknowledged: %d", cut, got, last.Data[1023], promised)
			}
		}
	}
}

// As TestCrash, on a file system whose replay e2fsck judges.
func TestCrashLikeE2fsck(t *testing.T) {
	path := mkfs(t, "-b", "1024", "-J", "size=1")
	cfg, _ := imageConfig(t, path)
	cfg.Checksums = true
	cfg.MaxDirty = 256 << 10
	cfg.Log = nil
	setRecover(t, path)
	dev := blocktest.FromBytes(readImage(t, path), 512)
	rec := blocktest.NewRecorder(dev)
	cfg.Device = rec
	r := rand.New(rand.NewPCG(5, 6))
	j := open(t, cfg)
	w := newWorkload(j, rec, cfg.Blocks-400, 399, r)
	w.run(t, 3, shorter(100))
	seen, n := 0, 0
	w.crash(t, cfg, r, cuts(), []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random}, func(disk *blocktest.Memory) {
		if n++; n%10 != 0 {
			return
		}
		want := replayed(t, disk.Bytes())
		mine := cfg
		mine.Device = disk.Clone()
		open(t, mine)
		if d := differ(cfg, mine.Device.(*blocktest.Memory).Bytes(), want); d != nil {
			t.Errorf("blocks %v are not what e2fsck has", d)
		}
		seen++
	})
	j.Close()
	t.Logf("%d compared with e2fsck", seen)
}

// setRecover sets needs_recovery in the superblock of an image, and its checksum.
func setRecover(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	flag := make([]byte, 4)
	f.ReadAt(flag, 1024+0x60)
	flag[0] |= 4
	f.WriteAt(flag, 1024+0x60)
	f.Close()
	debugfs(t, path, "set_super_value mtime now")
}
