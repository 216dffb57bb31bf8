package ext4

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// mapsDisk is an ext3 disk that got the feature extents afterwards: its files have block
// maps.
func mapsDisk(t *testing.T, dir string) *blocktest.Memory {
	path := mkfs(t, "64M", "-t", "ext3", "-b", "1024", "-d", dir)
	if out, code := tool(t, "tune2fs", "-O", "extents", path); code != 0 {
		t.Fatal(out)
	}
	return load(t, path)
}

func TestChangeBlockMaps(t *testing.T) {
	dir := tree(t)
	disk := mapsDisk(t, dir)
	f := mount(t, disk, Options{})
	compare(t, f, dir)
	big := walk(t, f, "size1048576")
	want := pattern(1<<20, 1<<20)
	ok(t, writeAt(big, pattern(7, 3000), 500000)) // too large to be converted
	copy(want[500000:], pattern(7, 3000))
	if big.extents() {
		t.Error("overwriting made extents")
	}
	ok(t, writeAt(big, pattern(8, 3000), 1<<20))
	want = append(want, pattern(8, 3000)...)
	if !big.extents() {
		t.Error("appending made no extents")
	}
	got, e := readAll(big)
	ok(t, e)
	same(t, "big", got, want)
	big.Put()
	i := walk(t, f, "size70000")
	ok(t, i.Truncate(5000))
	got, e = readAll(i)
	ok(t, e)
	same(t, "truncated", got, pattern(70000, 70000)[:5000])
	i.Put()
	r := root(t, f)
	ok(t, r.Unlink("size4097"))
	ok(t, r.Unlink("sparse"))
	ok(t, r.Unlink("slow"))
	many := walk(t, f, "many")
	for k := range 500 {
		create(t, many, "one more name in the directory "+strconv.Itoa(k), typeReg|0o644).Put()
	}
	removeAll(t, many)
	many.Put()
	ok(t, r.Rmdir("many"))
	r.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
	f = mount(t, disk, Options{})
	i = walk(t, f, "size1048576")
	got, e = readAll(i)
	ok(t, e)
	same(t, "big", got, want)
	i.Put()
	unmount(t, f)
}

func TestManySubdirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	disk := load(t, mkfs(t, "128M", "-b", "1024", "-N", "70000"))
	f := mount(t, disk, Options{})
	d := create(t, root(t, f), "d", typeDir|0o755)
	for k := range 65010 {
		create(t, d, strconv.Itoa(k), typeDir|0o755).Put()
	}
	if n := d.Attr().Nlink; n != 1 {
		t.Errorf("%d links, want 1 for too many", n)
	}
	unmountAfter(t, f, disk, d)
	f = mount(t, disk, Options{})
	d = walk(t, f, "d")
	for k := range 100 {
		ok(t, d.Rmdir(strconv.Itoa(k)))
	}
	unmountAfter(t, f, disk, d)
}

func unmountAfter(t *testing.T, f *FS, disk *blocktest.Memory, list ...*Inode) {
	t.Helper()
	for _, i := range list {
		i.Put()
	}
	unmount(t, f)
	fsck(t, save(t, disk))
}

func TestRefusals(t *testing.T) {
	for want, args := range map[string][]string{
		"inline_data": {"-O", "inline_data"}, "encrypt": {"-O", "encrypt"}, "casefold": {"-O", "casefold"},
		"mmp": {"-O", "mmp"}, "ea_inode": {"-O", "ea_inode"}, "journal_dev": {"-O", "journal_dev"},
	} {
		path := mkfs(t, "16M", args...)
		_, err := Mount(device(t, path, false), Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, args := range map[string][]string{
		"quota": {"-O", "quota"}, "project": {"-O", "project,quota"}, "bigalloc": {"-O", "bigalloc"}, "verity": {"-O", "verity"},
		"journal": {"-O", "^has_journal"},
	} {
		lines := ""
		path := mkfs(t, "16M", args...)
		f, err := Mount(device(t, path, false), Options{Log: func(s string) { lines += s }})
		if err != nil || !f.ReadOnly() || !strings.Contains(lines, want) {
			t.Errorf("%s: %v %q", want, err, lines)
			continue
		}
		if _, e := root(t, f).Create("a", typeReg, 0, 0, 0); e != syscall.EROFS {
			t.Errorf("%s: create: %v", want, e)
		}
		unmount(t, f)
		fsck(t, path)
	}
	if _, err := Mount(blocktest.NewMemory(1<<20, 512), Options{}); err == nil {
		t.Error("zeroes mounted")
	}
	disk := load(t, mkfs(t, "16M", "-b", "1024"))
	buf := make([]byte, 1024)
	ok(t, disk.ReadAt([][]byte{buf}, 1024))
	buf[0x78] ^= 1
	ok(t, disk.WriteAt([][]byte{buf}, 1024))
	lines := ""
	f, err := Mount(disk, Options{ReadOnly: true, Log: func(s string) { lines += s }})
	if err != nil || !strings.Contains(lines, "checksum is wrong") {
		t.Fatalf("wrong checksum: %v %q", err, lines)
	}
	unmount(t, f)
}

// TestErrors makes the device fail: every call returns an error, and nothing is written
// after the journal has ended.
func TestErrors(t *testing.T) {
	for after := 0; after < 60; after += 3 {
		disk := load(t, mkfs(t, "16M", "-b", "1024"))
		dev := blocktest.NewFaulty(disk)
		f := mount(t, dev, Options{CacheBytes: 1 << 14, Log: func(string) {}})
		r := root(t, f)
		writeFile(t, r, "before", pattern(1, 10000))
		ok(t, f.Sync())
		dev.SetRule(blocktest.FailAfter(blocktest.RequestKind(after%3), after, 1, syscall.EIO))
		failed := false
		for k := range 100 {
			i, e := r.Create("file"+strconv.Itoa(k), typeReg|0o644, 0, 0, 0)
			if e == 0 {
				e = writeAt(i, pattern(k, 20000), 0)
				if synced := i.Fsync(false); e == 0 {
					e = synced
				}
				i.Put()
			}
			failed = failed || e != 0
		}
		r.Put()
		e := f.Unmount()
		dev.SetRule(nil)
		if !failed && e != 0 {
			t.Errorf("after %d: Unmount: %v", after, e)
		}
		f = mount(t, disk, Options{})
		got, e := readAll(walk(t, f, "before"))
		ok(t, e)
		same(t, "before", got, pattern(1, 10000))
		unmount(t, f)
		path := save(t, disk)
		if out, code := tool(t, "e2fsck", "-fp", path); code > 1 {
			t.Fatalf("after %d: e2fsck: %d %s", after, code, out)
		}
		fsck(t, path)
	}
}

// TestJournalError fails a commit: from then on changes are EROFS, and fsync and sync EIO.
func TestJournalError(t *testing.T) {
	dev := blocktest.NewFaulty(load(t, mkfs(t, "16M")))
	f := mount(t, dev, Options{Log: func(string) {}})
	r := root(t, f)
	defer r.Put()
	i := create(t, r, "file", typeReg|0o644)
	defer i.Put()
	dev.SetRule(func(r blocktest.Request) (e syscall.Errno) {
		if r.Kind == blocktest.Flush {
			e = syscall.EIO
		}
		return e
	})
	if e := i.Fsync(false); e != syscall.EIO {
		t.Errorf("fsync: %v; want EIO", e)
	}
	dev.SetRule(nil)
	if _, e := r.Create("other", typeReg|0o644, 0, 0, 0); e != syscall.EROFS {
		t.Errorf("create: %v; want EROFS", e)
	}
	if e := writeAt(i, pattern(1, 10), 0); e != syscall.EROFS {
		t.Errorf("write: %v; want EROFS", e)
	}
	for what, e := range map[string]syscall.Errno{"fsync": i.Fsync(false), "sync": f.Sync(), "unmount": f.Unmount()} {
		if e != syscall.EIO {
			t.Errorf("%s afterwards: %v; want EIO", what, e)
		}
	}
}

// TestReadOnlyReplay reads a disk that was not unmounted without writing to it.
func TestReadOnlyReplay(t *testing.T) {
	disk := load(t, mkfs(t, "16M"))
	f := mount(t, disk, Options{})
	writeFile(t, root(t, f), "file", pattern(1, 10000))
	ok(t, f.Sync())
	crashed := disk.Clone()
	unmount(t, f)
	before := crashed.Bytes()
	crashed.SetReadOnly(true)
	f = mount(t, crashed, Options{})
	got, e := readAll(walk(t, f, "file"))
	ok(t, e)
	same(t, "file", got, pattern(1, 10000))
	unmount(t, f)
	same(t, "disk", crashed.Bytes(), before)
}

func TestContiguous(t *testing.T) {
	disk := load(t, mkfs(t, "256M"))
	f := mount(t, disk, Options{})
	r := root(t, f)
	var files []*Inode
	for k := range 4 {
		files = append(files, create(t, r, fmt.Sprint("log", k), typeReg|0o644))
	}
	buf := pattern(1, 64<<10)
	for k := range int64(256) { // 16 MiB each, written alternately
		for _, i := range files {
			ok(t, i.WriteData([][]byte{buf}, k<<16, (k+1)<<16))
		}
	}
	for k, i := range files {
		list, e := i.Extents(0, 16<<20, 10000)
		ok(t, e)
		if len(list) > 16 {
			t.Errorf("file %d has %d extents", k, len(list))
		}
	}
	unmountAfter(t, f, disk, append(files, r)...)
}

// TestReadDirWhileChanging inserts and removes names during a read of the directory: a name
// that was there all the time comes exactly once, also when one block becomes an index.
func TestReadDirWhileChanging(t *testing.T) {
	for _, count := range []int{10, 300, 3000} {
		disk := load(t, mkfs(t, "32M", "-b", "1024", "-N", "16000"))
		f := mount(t, disk, Options{})
		d := create(t, root(t, f), "d", typeDir|0o755)
		for k := range count {
			create(t, d, "stays"+strconv.Itoa(k), typeReg|0o644).Put()
			create(t, d, "goes"+strconv.Itoa(k), typeReg|0o644).Put()
		}
		seen := map[string]int{}
		pos, round := int64(0), 0
		for more := true; more; round++ {
			n := 0
			more = false
			ok(t, d.ReadDir(pos, func(name string, ino, kind uint32, next int64) bool {
				if more = n == 7; more {
					return false
				}
				n++
				pos = next
				seen[name]++
				return true
			}))
			for k := range 4 {
				create(t, d, fmt.Sprintf("comes%d-%d", round, k), typeReg|0o644).Put()
			}
			d.Unlink("goes" + strconv.Itoa(round))
		}
		for k := range count {
			if n := seen["stays"+strconv.Itoa(k)]; n != 1 {
				t.Errorf("%d names: stays%d came %d times", count, k, n)
			}
		}
		for name, n := range seen {
			if n != 1 {
				t.Errorf("%d names: %s came %d times", count, name, n)
			}
		}
		unmountAfter(t, f, disk, d)
	}
}
