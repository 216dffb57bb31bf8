package ext4

import (
	"bytes"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// slowDisk counts flushes, and can block some of them, and discards, for a test.
type slowDisk struct {
	block.Device
	mu        sync.Mutex
	flushes   int
	holdFlush map[int]chan struct{} // number of a flush -> closed to let it go on
	held      chan int
	fail      atomic.Bool
	gate      chan struct{} // discards wait for it
	discards  atomic.Int32
}

func (d *slowDisk) Flush() syscall.Errno {
	d.mu.Lock()
	d.flushes++
	n := d.flushes
	c := d.holdFlush[n]
	d.mu.Unlock()
	e := d.Device.Flush()
	if c != nil {
		d.held <- n
		<-c
	}
	return e
}
func (d *slowDisk) count() int { d.mu.Lock(); defer d.mu.Unlock(); return d.flushes }
func (d *slowDisk) hold(n int) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{})
	if d.holdFlush == nil {
		d.holdFlush = map[int]chan struct{}{}
		d.held = make(chan int, 10)
	}
	d.holdFlush[d.flushes+n] = c
	return c
}
func (d *slowDisk) WriteAt(b [][]byte, off int64) syscall.Errno {
	if d.fail.Load() {
		return syscall.EIO
	}
	return d.Device.WriteAt(b, off)
}
func (d *slowDisk) Discard(off, n int64) syscall.Errno {
	d.discards.Add(1)
	if d.gate != nil {
		<-d.gate
	}
	return d.Device.Discard(off, n)
}

// fsync covers what was done to an inode before it left memory and was read again.
func TestFsyncOfReadInode(t *testing.T) {
	d := load(t, mkfs(t, "16M"))
	w := &slowDisk{Device: d}
	f := mount(t, w, Options{})
	r := root(t, f)
	writeFile(t, r, "a", pattern(1, 8192))
	r.Put()
	n := w.count()
	i := walk(t, f, "a")
	ok(t, i.Fsync(false))
	i.Put()
	r = root(t, f)
	ok(t, r.Fsync(false))
	r.Put()
	if w.count() == n {
		t.Error("two fsyncs without a flush")
	}
	g := mount(t, d.Clone(), Options{}) // a power cut that loses no write
	r = root(t, g)
	if _, e := r.Lookup("a"); e != 0 {
		t.Errorf("after fsync of the file and of its directory: %v", e)
	}
}

// Data that is overwritten during another fsync is flushed by its own fsync.
func TestFsyncBesideFsync(t *testing.T) {
	d := load(t, mkfs(t, "16M"))
	w := &slowDisk{Device: d}
	f := mount(t, w, Options{})
	r := root(t, f)
	writeFile(t, r, "a", pattern(1, 8192))
	writeFile(t, r, "b", pattern(1, 8192))
	i, j := walk(t, f, "a"), walk(t, f, "b")
	ok(t, f.Sync())
	ok(t, i.Fsync(false))
	i.overwritten.Store(false)
	now := time.Now().UnixNano()
	late := func() { now++; ok(t, i.SetAttr(SetMtime|SetCtime, Attr{Mtime: now, Ctime: now})) }

	var wg sync.WaitGroup
	ok(t, j.SetAttr(SetMode, Attr{Mode: 0o600}))
	h0, h3 := w.hold(1), w.hold(4) // the first flush of T0, the last of T1
	wg.Go(func() { j.Fsync(false) })
	<-w.held
	late()
	wg.Go(func() { i.Fsync(false) }) // C
	time.Sleep(50 * time.Millisecond)
	late()
	wg.Go(func() { i.Fsync(false) }) // A: in T1, waits for i.syncing
	time.Sleep(50 * time.Millisecond)
	close(h0)
	<-w.held // the last flush of T1 has begun
	ok(t, i.WriteData([][]byte{bytes.Repeat([]byte{7}, 4096)}, 0, 8192))
	n := w.count()
	close(h3)
	wg.Wait()
	ok(t, i.Fsync(true)) // acknowledges the write
	if w.count() == n {
		t.Error("fdatasync without a flush behind the write")
	}
}

// If the file system ends between two handles of a change, each of which leaves it
// consistent, the journal has no error.
func TestEndBetweenHandles(t *testing.T) {
	d := load(t, mkfs(t, "16M"))
	f := mount(t, d, Options{})
	o, e := f.begin(1, 0)
	ok(t, e)
	o.changeSuper(func([]byte) {})
	o.left = 0
	closed := make(chan syscall.Errno)
	go func() { closed <- f.j.Close() }()
	time.Sleep(20 * time.Millisecond)
	e = o.step(1)
	t.Log("step:", e, "end:", o.end(e))
	t.Log("journal:", f.j.Err())
	ok(t, <-closed)
	if f.j.Err() != nil {
		t.Error("the end of a file system during a change of several handles ends the journal")
	}
}

// An unmount after an error waits for the discard under way, and starts no other.
func TestDiscardsEndWithTheMount(t *testing.T) {
	d := load(t, mkfs(t, "16M"))
	w := &slowDisk{Device: d, gate: make(chan struct{})}
	f := mount(t, w, Options{})
	r := root(t, f)
	writeFile(t, r, "long", pattern(1, 4<<20))
	ok(t, f.Sync())
	ok(t, r.Unlink("long"))
	ok(t, f.Sync())
	time.Sleep(20 * time.Millisecond)
	t.Log("discards under way:", w.discards.Load())
	w.fail.Store(true)
	r.SetAttr(SetMode, Attr{Mode: 0o700})
	t.Log("sync on a failing disk:", f.Sync())
	w.fail.Store(false)
	r.Put()
	done := make(chan syscall.Errno, 1)
	go func() { done <- f.Unmount() }()
	select {
	case e := <-done:
		t.Log("unmount returned while discards are under way:", e)
	case <-time.After(2 * time.Second):
		t.Log("unmount waits")
		close(w.gate)
		return
	}
	g := mount(t, w, Options{Discard: -1})
	r = root(t, g)
	want := pattern(2, 9<<20)
	i := create(t, r, "again", typeReg|0o644)
	ok(t, writeAt(i, want, 0))
	ok(t, i.Fsync(false))
	close(w.gate)
	f.waitDiscards()
	got, e := readAll(i)
	ok(t, e)
	if !bytes.Equal(got, want) {
		t.Error("data that fsync has acknowledged is gone: discarded by the mount before")
	}
}

// Times that are set to the same values are not stored: fsync only writes data and flushes.
func TestFsyncSameTimes(t *testing.T) {
	w := &slowDisk{Device: load(t, mkfs(t, "16M"))}
	f := mount(t, w, Options{})
	r := root(t, f)
	writeFile(t, r, "a", pattern(1, 8192))
	i := walk(t, f, "a")
	ok(t, i.Fsync(false))
	a := i.Attr()
	for k, late := range []int64{1, 1, 2} {
		ok(t, i.WriteData([][]byte{pattern(k, 4096)}, 0, 8192))
		ok(t, i.SetAttr(SetMtime|SetCtime, Attr{Mtime: a.Mtime + late, Ctime: a.Ctime + late}))
		n, tid := w.count(), f.j.Newest()
		ok(t, i.Fsync(false))
		flushes, stored := w.count()-n, f.j.Newest() != tid
		if same := k == 1; stored == same || flushes == 0 || same && flushes != 1 {
			t.Errorf("fsync %d: %d flushes, inode stored: %v", k, flushes, stored)
		}
	}
}

// If one of the runs that are written together fails, the others are written all the same,
// and the failure is returned.
func TestWriteRunsFailure(t *testing.T) {
	d := blocktest.NewFaulty(load(t, mkfs(t, "16M")))
	f := mount(t, d, Options{})
	r := root(t, f)
	writeFile(t, r, "a", pattern(1, 32768))
	i := walk(t, f, "a")
	places, e := i.Extents(0, 32768, 1)
	ok(t, e)
	d.SetRule(blocktest.FailRange(blocktest.Write, places[0].Physical+8192, 4096, syscall.EIO))
	runs := make([]block.Write, 5) // the last grows the file
	for k := range runs {
		runs[k] = block.Write{Bufs: [][]byte{pattern(10+k, 4096)}, Off: int64(k) * 8192}
	}
	if e := i.WriteRuns(runs, 36864); e != syscall.EIO {
		t.Errorf("WriteRuns = %v; want EIO", e)
	}
	d.SetRule(nil)
	for k := range runs {
		got := make([]byte, 4096)
		ok(t, i.ReadData([][]byte{got}, int64(k)*8192))
		if written := bytes.Equal(got, pattern(10+k, 4096)); written != (k != 1) {
			t.Errorf("run %d: written %v", k, written)
		}
	}
	if n := i.Attr().Size; n != 36864 {
		t.Errorf("size %d; want 36864", n)
	}
}

// An exchange of a directory and a file that has a name in it does not deadlock with a
// rename of that name.
func TestExchangeBesideRename(t *testing.T) {
	f := mount(t, load(t, mkfs(t, "16M")), Options{})
	r := root(t, f)
	writeFile(t, r, "f", nil)
	d, e := r.Create("d", typeDir|0o755, 0, 0, 0)
	ok(t, e)
	file := walk(t, f, "f")
	ok(t, d.Link("x", file))
	done := make(chan bool)
	for _, run := range []func(){
		func() { ok(t, r.Rename("d", r, "f", true)) },
		func() { d.Rename("x", d, "y", false); d.Rename("y", d, "x", false) },
	} {
		go func() {
			for range 500 {
				run()
			}
			done <- true
		}()
	}
	for range 2 {
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("a deadlock")
		}
	}
}

// A file is renamed in its directory while a directory is renamed elsewhere.
func TestRenameBesideRename(t *testing.T) {
	f := mount(t, load(t, mkfs(t, "16M")), Options{})
	r := root(t, f)
	writeFile(t, r, "a", nil)
	writeFile(t, r, "b", nil)
	f.rename.Lock()
	done := make(chan syscall.Errno)
	go func() { done <- r.Rename("a", r, "b", false) }()
	select {
	case e := <-done:
		ok(t, e)
	case <-time.After(time.Minute):
		t.Error("rename waits for another")
	}
	f.rename.Unlock()
}
