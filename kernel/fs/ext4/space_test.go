package ext4

import (
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// A window gets its blocks and its place in the list of windows in one step: if it were
// released in between, it would keep its blocks but be off the list.
func TestWindowsAreListed(t *testing.T) {
	f := mount(t, load(t, mkfs(t, "16M")), Options{})
	free := f.space.free.Load()
	ok(t, f.claim(4, 0))
	phys, n, e := f.take(0, 4)
	ok(t, e)
	listed := func(w *window) bool {
		f.space.mu.Lock()
		defer f.space.mu.Unlock()
		_, in := f.space.windows[w]
		return in
	}
	w := &window{}
	w.mu.Lock() // no blocks yet
	done := make(chan struct{})
	go func() { f.keep(w, phys, n); close(done) }()
	time.Sleep(20 * time.Millisecond)
	if listed(w) {
		t.Error("the window is listed before it has blocks")
	}
	w.mu.Unlock()
	<-done
	if !listed(w) || !w.nonEmpty() {
		t.Errorf("listed: %v, has blocks: %v", listed(w), w.nonEmpty())
	}
	f.dropWindows()
	if listed(w) || w.nonEmpty() || f.space.free.Load() != free {
		t.Errorf("dropped: listed: %v, has blocks: %v, %d blocks are free of %d", listed(w), w.nonEmpty(), f.space.free.Load(), free)
	}
	unmount(t, f)
}

// Blocks that were allocated for a change whose first step fails are free again. Here the
// bitmap cannot be read.
func TestFailedChangeGivesBlocksBack(t *testing.T) {
	d := blocktest.NewFaulty(load(t, mkfs(t, "16M", "-O", "^metadata_csum")))
	f := mount(t, d, Options{})
	r := root(t, f)
	i := create(t, r, "file", typeReg|0o644)
	g := f.group[0]
	bitmap := f.blockBitmap(g)
	for name, change := range map[string]func() syscall.Errno{
		"WriteData": func() syscall.Errno { return i.WriteData([][]byte{pattern(1, 64<<10)}, 0, 64<<10) },
		"Allocate":  func() syscall.Errno { return i.Allocate(1<<20, 64<<10, true) },
		"SetXattr":  func() syscall.Errno { return i.SetXattr("user.a", pattern(2, 500), 0) },
	} {
		g.mu.Lock()
		ok(t, f.load(g))
		g.mu.Unlock()
		free := f.space.free.Load() + f.space.prealloc.Load()
		f.j.Forget(bitmap)
		d.SetRule(func(r blocktest.Request) syscall.Errno {
			if r.Kind == blocktest.Read && r.Off == f.blockBytes(bitmap) {
				return syscall.EIO
			}
			return 0
		})
		if e := change(); e != syscall.EIO {
			t.Errorf("%s: %v, want EIO", name, e)
		}
		d.SetRule(nil)
		if n := f.space.free.Load() + f.space.prealloc.Load(); n != free || f.space.reserved.Load() != 0 || g.pendingBits != int(f.space.prealloc.Load()) {
			t.Errorf("%s: %d blocks are free, %d were; %d are promised, %d are held", name, n, free, f.space.reserved.Load(), g.pendingBits)
		}
		ok(t, change())
		ok(t, f.j.Checkpoint()) // the bitmap can be evicted
	}
	i.Put()
	r.Put()
	unmount(t, f)
}
