package ext4

import "testing"

// fill claims all blocks of a disk.
func fill(t *testing.T, f *FS) {
	t.Helper()
	ok(t, f.claim(f.space.free.Load()-f.space.reserved.Load(), 0))
}

// Files can be removed and truncated on a disk without a free block.
func TestRemoveWhenFull(t *testing.T) {
	disk := load(t, mkfs(t, "16M", "-b", "1024"))
	f := mount(t, disk, Options{Discard: -1})
	r := root(t, f)
	for _, name := range []string{"removed", "shorter"} {
		i := create(t, r, name, typeReg|0o644)
		for k := range int64(20) { // enough extents for a tree
			ok(t, writeAt(i, pattern(1, 10<<10), k*20<<10))
		}
		i.Put()
	}
	ok(t, f.Sync())
	f.dropWindows()
	fill(t, f)
	ok(t, r.Unlink("removed"))
	i := walk(t, f, "shorter")
	ok(t, i.Truncate(25<<10))
	ok(t, f.Sync())
	if n := f.space.free.Load() - f.space.reserved.Load(); n < 380 {
		t.Errorf("%d blocks are free, want those of 38 of 40 pieces", n)
	}
	got, e := readAll(i)
	ok(t, e)
	same(t, "shorter", got[:20<<10], append(pattern(1, 10<<10), make([]byte, 10<<10)...))
	i.Put()
	r.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}

// Data without a reservation does not take the blocks that the extent trees of reserved data
// need.
func TestUnreservedWrites(t *testing.T) {
	disk := load(t, mkfs(t, "16M", "-b", "1024"))
	f := mount(t, disk, Options{})
	r := root(t, f)
	const pieces = 200
	i := create(t, r, "reserved", typeReg|0o644)
	for k := range int64(pieces) {
		ok(t, i.Reserve(k*2048, 1024))
	}
	greedy := create(t, r, "greedy", typeReg|0o644)
	end := int64(0)
	for n := int64(16 << 10); n >= 1024; n /= 2 {
		buf := pattern(1, int(n))
		for greedy.WriteData([][]byte{buf}, end, end+n) == 0 {
			end += n
		}
	}
	if end < 8<<20 {
		t.Errorf("full behind %d bytes", end)
	}
	for k := range int64(pieces) {
		if e := i.WriteData([][]byte{pattern(int(k), 1024)}, k*2048, k*2048+1024); e != 0 {
			t.Fatalf("piece %d of what was reserved: %v", k, e)
		}
	}
	greedy.Put()
	i.Put()
	r.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}
