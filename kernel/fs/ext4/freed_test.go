package ext4

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// Files that are open without a name are freed when the file system ends, even if
// references remain: nothing changes them afterwards, nor the file that gets the inode next.
func TestFreedInodes(t *testing.T) {
	for _, args := range [][]string{nil, {"-t", "ext3"}} {
		path := mkfs(t, "16M", args...)
		debugfs(t, path, "write "+image(t, pattern(1, 20000))+" file")
		tool(t, "tune2fs", "-O", "extents", path) // the file of ext3 keeps its block map
		disk := load(t, path)
		f := mount(t, disk, Options{})
		r := root(t, f)
		i := walk(t, f, "file")
		if i.extents() != (args == nil) {
			t.Fatal("the file is of the wrong kind")
		}
		ok(t, i.Reserve(0, 100000))
		ok(t, r.Unlink("file"))
		i.Put()
		other := create(t, r, "other", typeReg|0o644)
		ok(t, writeAt(other, pattern(2, 50000), 0))
		if other.ino != i.ino {
			t.Fatalf("inode %d, want %d again", other.ino, i.ino)
		}
		for name, e := range map[string]syscall.Errno{
			"WriteData": i.WriteData([][]byte{make([]byte, 8192)}, 0, 8192), "grow": i.WriteData(nil, 0, 1<<20),
			"Reserve": i.Reserve(0, 4096), "Truncate": i.Truncate(0), "Truncate up": i.Truncate(1 << 20),
			"Allocate": i.Allocate(0, 9000, false), "Punch": i.Punch(0, 9000), "Zero": i.Zero(0, 9000),
			"SetAttr": i.SetAttr(SetMode, Attr{}), "times": i.SetAttr(SetMtime, Attr{}),
			"SetXattr": i.SetXattr("user.a", []byte("b"), 0), "RemoveXattr": i.RemoveXattr("user.a"), "Link": r.Link("link", i),
		} {
			if e != syscall.ESTALE {
				t.Errorf("%v: %s: %v, want ESTALE", args, name, e)
			}
		}
		if n := f.space.reserved.Load(); n != 0 {
			t.Errorf("%d blocks are promised to nobody", n)
		}
		other.Put()
		r.Put()
		unmount(t, f)
		fsck(t, save(t, disk))
		f = mount(t, disk, Options{})
		got, e := readAll(walk(t, f, "other"))
		ok(t, e)
		same(t, "other", got, pattern(2, 50000))
	}
}

// Blocks are freed only after a write to them has ended.
func TestFreeWaitsForWrites(t *testing.T) {
	d := blocktest.NewFaulty(load(t, mkfs(t, "16M")))
	f := mount(t, d, Options{})
	r := root(t, f)
	i := create(t, r, "file", typeReg|0o644)
	ok(t, i.WriteData([][]byte{pattern(1, 8192)}, 0, 8192))
	ok(t, r.Unlink("file"))
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.SetRule(func(r blocktest.Request) syscall.Errno {
		if r.Kind == blocktest.Write {
			once.Do(func() { close(entered) })
			<-leave
		}
		return 0
	})
	done, freed := make(chan syscall.Errno), make(chan struct{})
	go func() { done <- i.WriteData([][]byte{pattern(2, 8192)}, 0, 8192) }()
	<-entered
	go func() { i.Put(); close(freed) }()
	select {
	case <-freed:
		t.Error("the file is freed while its data is written")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	ok(t, <-done)
	<-freed
	r.Put()
	unmount(t, f)
}

// A file without a name gets one just as its last reference is dropped: it is not freed.
func TestLinkBesideLastPut(t *testing.T) {
	disk := load(t, mkfs(t, "16M"))
	f := mount(t, disk, Options{})
	r := root(t, f)
	i, e := r.CreateUnnamed(typeReg|0o644, 0, 0)
	ok(t, e)
	ok(t, writeAt(i, pattern(1, 5000), 0))
	// Link waits for its handle with i.mu locked: a commit waits for the handle of o.
	o, e := f.begin(1, 0)
	ok(t, e)
	var wg sync.WaitGroup
	wg.Go(func() { f.j.CommitAll() })
	time.Sleep(20 * time.Millisecond)
	wg.Go(func() { ok(t, r.Link("file", i)) })
	for i.mu.TryLock() {
		i.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	wg.Go(i.Put)
	time.Sleep(20 * time.Millisecond)
	ok(t, o.end(0))
	wg.Wait()
	if e := r.Link("again", i); e != syscall.ESTALE {
		t.Errorf("Link of a file that nobody has: %v, want ESTALE", e)
	}
	c, e := r.Lookup("file")
	ok(t, e)
	got, e := readAll(c)
	ok(t, e)
	same(t, "file", got, pattern(1, 5000))
	c.Put()
	r.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}
