package ext4

import (
	"syscall"
	"testing"
	"time"
)

// If the file system ends during a change, the superblock has the counters and the state of
// the orphan file with that change.
func TestUnmountBesideChange(t *testing.T) {
	disk := load(t, mkfs(t, "16M", "-O", "orphan_file"))
	w := &slowDisk{Device: disk}
	f := mount(t, w, Options{})
	r := root(t, f)
	writeFile(t, r, "file", pattern(1, 5000))
	ok(t, f.Sync())
	held := w.hold(1) // the flush at the end of Sync
	done := make(chan syscall.Errno)
	go func() { done <- f.Unmount() }()
	<-w.held
	o, e := f.begin(16, 0)
	ok(t, e)
	close(held)
	for !f.ro.Load() {
		time.Sleep(time.Millisecond)
	}
	c, e := o.newChild(r, typeReg|0o600, 0, 0) // as CreateUnnamed
	ok(t, e)
	c.nlink = 0
	c.initExtents()
	ok(t, c.addOrphan(o))
	ok(t, c.writeData(o))
	c.mu.Unlock()
	ok(t, o.end(0))
	ok(t, <-done)

	sb := disk.Bytes()[superOffset:][:superSize]
	if le.Uint32(sb[sRoCompat:])&roOrphanPresent == 0 {
		t.Error("the orphan file names an inode, the superblock does not say so")
	}
	blocks, inodes := f.counts()
	if got := pair32(sb, sFreeBlocksLo, sFreeBlocksHi, true); got != blocks {
		t.Errorf("the superblock says %d free blocks; want %d", got, blocks)
	}
	if got := le.Uint32(sb[sFreeInodes:]); got != inodes {
		t.Errorf("the superblock says %d free inodes; want %d", got, inodes)
	}
	f = mount(t, disk, Options{})
	if _, e := f.Inode(c.ino); e != syscall.ESTALE {
		t.Errorf("inode of the orphan: %v, want ESTALE", e)
	}
	unmount(t, f)
	fsck(t, save(t, disk))
}

// Sync and Unmount wait for times that another Sync is about to journal.
func TestSyncBesideSync(t *testing.T) {
	f := mount(t, load(t, mkfs(t, "16M")), Options{})
	r := root(t, f)
	i := create(t, r, "file", typeReg|0o644)
	ok(t, i.SetAttr(SetMtime, Attr{Mtime: 1e9}))
	i.mu.Lock()
	first, second := make(chan syscall.Errno, 1), make(chan syscall.Errno, 1)
	go func() { first <- f.Sync() }()
	for taken := false; !taken; time.Sleep(time.Millisecond) {
		f.lazy.mu.Lock()
		taken = f.lazy.set == nil
		f.lazy.mu.Unlock()
	}
	go func() { second <- f.Sync() }()
	select {
	case <-second:
		t.Error("Sync returned before the times were written")
	case <-time.After(50 * time.Millisecond):
	}
	i.mu.Unlock()
	ok(t, <-first)
	if !t.Failed() {
		ok(t, <-second)
	}
	i.Put()
	r.Put()
	unmount(t, f)
}
