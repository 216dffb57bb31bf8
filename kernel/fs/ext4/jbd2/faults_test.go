package jbd2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

func paint(c byte) func([]byte) {
	return func(p []byte) {
		for i := range p {
			p[i] = c
		}
	}
}

// change commits one handle that fills blocks with a byte.
func change(t testing.TB, j *Journal, c byte, blocks ...uint64) {
	t.Helper()
	h := begin(t, j, len(blocks))
	for _, n := range blocks {
		set(t, h, n, paint(c))
	}
	h.End()
	if e := j.Commit(h.TID()); e != 0 {
		t.Fatalf("Commit = %v", e)
	}
}

// A checkpoint while OnCommit functions run: the transaction is durable but not yet among
// those in the log. The log's tail was once set to its start, in room that was released.
func TestCheckpointDuringOnCommit(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	for i := range 100 {
		h := begin(t, j, 3)
		for n := range uint64(3) {
			set(t, h, 1000+n, paint(byte(i)))
		}
		h.OnCommit(func() { j.checkpointLogged() })
		h.End()
		j.Commit(h.TID())
		if start := j.super.get(superStart); start != j.head || j.used != 0 {
			t.Fatalf("the log starts at %d, its head is %d, %d blocks are in use", start, j.head, j.used)
		}
		again := cfg
		again.Device = dev.Clone()
		b, e := open(t, again).Get(1002)
		if e != 0 || b.Data[0] != byte(i) {
			t.Fatalf("after transaction %d: %d, %v", i, b.Data[0], e)
		}
	}
}

// A device that fails once ends the journal, whatever it was doing; what was
// acknowledged before is there after the next Open.
func TestAbort(t *testing.T) {
	for _, kind := range []blocktest.RequestKind{blocktest.Write, blocktest.Flush} {
		for number := range 40 {
			cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
			cfg.MaxDirty = 16 << 10
			faulty := blocktest.NewFaulty(dev)
			cfg.Device = faulty
			var failed atomic.Int32
			cfg.Failed = func(error) { failed.Add(1) }
			j := open(t, cfg)
			faulty.SetRule(blocktest.FailAfter(kind, number, 1, syscall.EIO))
			last := byte(0)
			called := false
			for i := byte(1); i < 60; i++ {
				h, e := j.Begin(2)
				if e == syscall.EROFS {
					break
				}
				set(t, h, 1000, paint(i))
				set(t, h, 1001, paint(i))
				called = false
				h.OnCommit(func() { called = true })
				h.End()
				e = j.Commit(h.TID())
				if (e == 0) != called {
					t.Fatalf("Commit = %v, OnCommit called: %v", e, called)
				}
				if e == 0 {
					last = i
				}
			}
			closed := j.Close()
			if failed.Load() == 1 {
				if _, e := j.Begin(1); e != syscall.EROFS || j.Err() == nil || closed != syscall.EIO {
					t.Errorf("after the failure: Begin = %v, Err = %v, Close = %v", e, j.Err(), closed)
				}
			} else if failed.Load() != 0 || closed != 0 && closed != syscall.EIO {
				t.Errorf("Failed called %d times, Close = %v", failed.Load(), closed)
			}
			cfg.Device = dev
			b, e := open(t, cfg).Get(1001)
			// the failed transaction may be there, too
			if e != 0 || b.Data[0] != last && b.Data[0] != last+1 {
				t.Fatalf("kind %d, request %d: block of transaction %d; want %d", kind, number, b.Data[0], last)
			}
		}
	}
}

// An aborted journal says so to e2fsck.
func TestAbortIsRecorded(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	change(t, j, 1, 1000)
	j.Abort(errors.New("the file system is damaged"))
	if e := j.Commit(100); e != syscall.EIO {
		t.Errorf("Commit = %v", e)
	}
	j.Close()
	var log []string
	cfg.Log = func(s string) { log = append(log, s) }
	cfg.Device = dev
	j = open(t, cfg)
	if !j.Replayed() || len(log) != 1 || !strings.Contains(log[0], "error -5") {
		t.Errorf("the next Open: replayed %v, log %q", j.Replayed(), log)
	}
}

// A handle that fails in the middle aborts the journal; a commit that waited for it
// writes nothing.
func TestAbortInHandle(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	change(t, j, 1, 1000)
	h := begin(t, j, 1)
	set(t, h, 1000, paint(2))
	done := make(chan syscall.Errno)
	go func() { done <- j.Commit(h.TID()) }()
	await(j, func() bool { return j.locked })
	j.Abort(errors.New("half-way"))
	if e := h.End(); e != syscall.EIO {
		t.Errorf("End = %v", e)
	}
	if e := <-done; e != syscall.EIO {
		t.Errorf("Commit = %v", e)
	}
	j.Close()
	cfg.Device = dev
	if b, e := open(t, cfg).Get(1000); e != 0 || b.Data[0] != 1 {
		t.Errorf("block is %d, %v; want 1", b.Data[0], e)
	}
}

// While the device hangs in a commit, the next transaction goes on in memory.
func TestHang(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	faulty := blocktest.NewFaulty(dev)
	cfg.Device = faulty
	j := open(t, cfg)
	change(t, j, 1, 1000, 1001)
	release := faulty.Hang()
	h := begin(t, j, 1)
	set(t, h, 1000, paint(2))
	h.End()
	done := make(chan syscall.Errno)
	go func() { done <- j.Commit(h.TID()) }()
	for i := byte(3); ; i++ {
		h2 := begin(t, j, 1)
		set(t, h2, 1000, paint(i))
		h2.End()
		if h2.TID() > h.TID() && i > 10 {
			break
		}
	}
	select {
	case e := <-done:
		t.Fatalf("Commit = %v while the device hangs", e)
	default:
	}
	release()
	if e := <-done; e != 0 {
		t.Errorf("Commit = %v", e)
	}
	if e := j.Close(); e != 0 {
		t.Errorf("Close = %v", e)
	}
}

// A transaction is committed without being asked for.
func TestInterval(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	cfg.Interval = 5 * time.Millisecond
	j := open(t, cfg)
	durable := make(chan bool)
	h := begin(t, j, 1)
	set(t, h, 1000, paint(7))
	h.OnCommit(func() { close(durable) })
	h.End()
	<-durable
	cfg.Device = dev.Clone()
	if b, e := open(t, cfg).Get(1000); e != 0 || b.Data[0] != 7 {
		t.Errorf("block is %d, %v", b.Data[0], e)
	}
}

// Waiters share a commit: far fewer flushes than commits.
func TestGroupCommit(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	faulty := blocktest.NewFaulty(dev)
	faulty.SetLatency(time.Millisecond)
	var flushes atomic.Int32
	faulty.SetRule(func(r blocktest.Request) syscall.Errno {
		if r.Kind == blocktest.Flush {
			flushes.Add(1)
		}
		return 0
	})
	cfg.Device = faulty
	j := open(t, cfg)
	var all sync.WaitGroup
	for i := range uint64(16) {
		all.Go(func() {
			for c := range 10 {
				h, _ := j.Begin(1)
				set(t, h, 1000+i, paint(byte(c)))
				h.End()
				if e := j.Commit(h.TID()); e != 0 {
					t.Errorf("Commit = %v", e)
				}
			}
		})
	}
	all.Wait()
	if n := flushes.Load(); n > 120 {
		t.Errorf("%d flushes for 160 commits", n)
	}
	j.Close()
}

// A handle that asks for more than the log can take is refused; one that fits
// waits for the commit of what is there.
func TestCredits(t *testing.T) {
	cfg, _ := bare(1024, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	if _, e := j.Begin(32); e != syscall.EFBIG {
		t.Errorf("Begin(32) with a log of 127 blocks = %v; want EFBIG", e)
	}
	h := begin(t, j, 20)
	set(t, h, 1000, paint(1))
	h.End()
	if h2 := begin(t, j, 25); h2.TID() != h.TID() {
		t.Error("credits that were not used count")
	} else {
		for n := range uint64(25) {
			set(t, h2, 1000+n, paint(2))
		}
		h2.End()
	}
	if h3 := begin(t, j, 10); h3.TID() == h.TID() {
		t.Error("the transaction is larger than its share of the log")
	} else {
		h3.End()
	}
	j.Close()
}

// Goroutines and memory end with the journal; clean buffers are bounded.
func TestBounds(t *testing.T) {
	before := runtime.NumGoroutine()
	cfg, _ := bare(1024, 9000, 512, incompatCsumV3)
	cfg.CacheBytes = 64 << 10
	cfg.MaxDirty = 64 << 10
	j := open(t, cfg)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 300 {
		j.Prefetch(1000+r.Uint64N(7000), 16)
		h := begin(t, j, 10)
		for range 10 {
			set(t, h, 1000+r.Uint64N(7000), paint(byte(i)))
		}
		h.End()
		if i%10 == 0 {
			j.Commit(h.TID())
		}
		j.mu.Lock()
		buffers := len(j.cache.blocks)
		j.mu.Unlock()
		// clean ones; running and committing transaction; waiting for a checkpoint
		if most := 64 + 2*64 + 3*64; buffers > most {
			t.Fatalf("%d buffers in the cache; want at most %d", buffers, most)
		}
	}
	j.Close()
	j.mu.Lock()
	if n := len(j.cache.blocks); n > 64 || j.uncheckpointed != 0 || j.used != 0 || len(j.logged) != 0 {
		t.Errorf("after Close: %d buffers, %d waiting, %d blocks of the log", n, j.uncheckpointed, j.used)
	}
	j.mu.Unlock()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Readers, writers and commits at once, for the race detector.
func TestConcurrent(t *testing.T) {
	cfg, _ := bare(1024, 1500, 256, incompatCsumV3)
	cfg.CacheBytes = 32 << 10
	cfg.MaxDirty = 32 << 10
	j := open(t, cfg)
	var locks [50]sync.RWMutex
	var all sync.WaitGroup
	for g := range uint64(8) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(g, 0))
			for range 300 {
				i := r.IntN(50)
				if g < 4 {
					h, e := j.Begin(1)
					if e != 0 {
						t.Error(e)
						return
					}
					locks[i].Lock()
					set(t, h, 1000+uint64(i), random(r))
					locks[i].Unlock()
					h.End()
					if r.IntN(10) == 0 {
						j.Commit(h.TID())
					}
					continue
				}
				b, e := j.Get(1000 + uint64(i))
				if e != 0 {
					t.Error(e)
					return
				}
				locks[i].RLock()
				_ = bytes.Equal(b.Data, b.Data[:1])
				locks[i].RUnlock()
				b.Put()
				if r.IntN(20) == 0 {
					j.Checkpoint()
				}
				j.Prefetch(1000+r.Uint64N(60), 8)
			}
		})
	}
	all.Wait()
	if e := j.Close(); e != 0 {
		t.Error(e)
	}
}

// Seal sets a checksum once per commit, also one that lies in another block.
func TestSeal(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	h := begin(t, j, 2)
	other, _ := j.Get(1000)
	h.Dirty(other)
	b, _ := j.Get(1001)
	calls := 0
	b.Seal = func(b *Buffer) { calls++; other.Data[5] = b.Data[0] + 1 }
	h.Dirty(b)
	b.Data[0] = 8
	h.End()
	j.Commit(h.TID())
	b.Put()
	other.Put()
	cfg.Device = dev.Clone()
	if got, e := open(t, cfg).Get(1000); e != 0 || got.Data[5] != 9 || calls != 1 {
		t.Errorf("sealed %d times: %d, %v", calls, got.Data[5], e)
	}
}

// A read that fails is EIO, and the next one tries again.
func TestReadError(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, 0)
	faulty := blocktest.NewFaulty(dev)
	cfg.Device = faulty
	j := open(t, cfg)
	faulty.SetRule(blocktest.FailRange(blocktest.Read, 1000*1024, 1024, syscall.EIO))
	j.Prefetch(998, 5)
	if _, e := j.Get(1000); e != syscall.EIO {
		t.Errorf("Get = %v; want EIO", e)
	}
	if _, e := j.Get(1 << 60); e != syscall.EIO {
		t.Errorf("Get beyond the end = %v; want EIO", e)
	}
	faulty.SetRule(nil)
	if _, e := j.Get(1000); e != 0 {
		t.Errorf("Get = %v", e)
	}
}

// A new block whose read-ahead is under way is in the cache even if that fails.
func TestNewBesideFailedRead(t *testing.T) {
	cfg, dev := bare(1024, 1500, 128, 0)
	faulty := blocktest.NewFaulty(dev)
	cfg.Device = faulty
	j := open(t, cfg)
	faulty.SetRule(blocktest.FailRange(blocktest.Read, 0, dev.Size(), syscall.EIO))
	release := faulty.Hang()
	go j.Prefetch(1000, 1)
	await(j, func() bool { return j.cache.blocks[1000] != nil })
	made := make(chan *Buffer)
	go func() { made <- j.New(1000) }()
	await(j, func() bool { return j.cache.blocks[1000].pins == 2 })
	release()
	b := <-made
	if again, e := j.Get(1000); e != 0 || again != b {
		t.Errorf("Get = %p, %v; New was %p", again, e, b)
	}
}

// await spins until a condition is true under the journal's lock.
func await(j *Journal, is func() bool) {
	for ok := false; !ok; runtime.Gosched() {
		j.mu.Lock()
		ok = is()
		j.mu.Unlock()
	}
}

// Linux's fast commits are not replayed; they are not ignored either: Open refuses.
func TestFastCommits(t *testing.T) {
	for _, tid := range []uint32{2, 7} { // 2 follows the last transaction, 7 is old
		cfg, dev := bare(1024, 1500, 128, incompatFastCommit)
		s := super{raw: make([]byte, 1024)}
		at := int64(cfg.Journal[0].Physical) * 1024
		dev.ReadAt([][]byte{s.raw}, at)
		s.put(superFastBlocks, 16)
		dev.WriteAt([][]byte{s.raw}, at)
		j := open(t, cfg)
		change(t, j, 1, 1000)
		fast := make([]byte, 1024)
		binary.LittleEndian.PutUint16(fast, fastHead)
		binary.LittleEndian.PutUint32(fast[8:], tid)
		if e := j.log.write([][]byte{fast}, 128-16+1); e != 0 {
			t.Fatal(e)
		}
		_, err := Open(cfg)
		if refused := err != nil && strings.Contains(err.Error(), "fast_commit"); refused != (tid == 2) {
			t.Errorf("fast commits of transaction %d: Open: %v", tid, err)
		}
	}
}

// A disk that has written only the first sector of a commit block has committed.
func TestTornCommitBlock(t *testing.T) {
	cfg, dev := bare(4096, 1500, 128, incompatCsumV3)
	j := open(t, cfg)
	change(t, j, 1, 1000)
	// descriptor, block, commit
	p := make([]byte, 4096)
	paint(0xee)(p)
	physical, _ := j.log.find(j.head - 1)
	dev.WriteAt([][]byte{p[512:]}, int64(physical)*4096+512)
	again := open(t, cfg)
	if b, e := again.Get(1000); e != 0 || b.Data[0] != 1 || !again.Replayed() {
		t.Errorf("block is %d, %v", b.Data[0], e)
	}
}

// Damage in the middle of the log is not taken for its end.
func TestDamagedLog(t *testing.T) {
	for block, want := range map[uint32]string{1: "descriptor", 2: "copy of block 1000", 3: "commit"} {
		cfg, dev := bare(1024, 1500, 128, incompatCsumV3)
		j := open(t, cfg)
		change(t, j, 1, 1000)
		change(t, j, 2, 1001)
		physical, _ := j.log.find(block)
		p := make([]byte, 512)
		at := int64(physical) * 1024
		dev.ReadAt([][]byte{p}, at)
		p[40] ^= 1
		dev.WriteAt([][]byte{p}, at)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("block %d of the log is damaged: Open: %v; want ...%s...", block, err, want)
		}
	}
}
