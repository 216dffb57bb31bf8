package ext4

import (
	"testing"
	"time"
)

// A window gets its blocks and its place in the list of those that can be dropped in
// one step: who drops it in between would leave it with blocks and without a place.
func TestWindowsAreListed(t *testing.T) {
	f := mount(t, load(t, mkfs(t, "16M")), Options{})
	free := f.space.free.Load()
	ok(t, f.claim(4, 0))
	phys, n, errno := f.take(0, 4)
	ok(t, errno)
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
	if !listed(w) || !w.held() {
		t.Errorf("listed: %v, has blocks: %v", listed(w), w.held())
	}
	f.dropWindows()
	if listed(w) || w.held() || f.space.free.Load() != free {
		t.Errorf("dropped: listed: %v, has blocks: %v, %d blocks are free of %d", listed(w), w.held(), f.space.free.Load(), free)
	}
	unmount(t, f)
}
