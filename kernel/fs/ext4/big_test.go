package ext4

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// TestModelSeeds runs the model with many seeds: YOLK_SEEDS=first-last.
func TestModelSeeds(t *testing.T) {
	var first, last uint64
	if n, _ := fmt.Sscanf(os.Getenv("YOLK_SEEDS"), "%d-%d", &first, &last); n != 2 {
		t.Skip("set YOLK_SEEDS=first-last")
	}
	for seed := first; seed <= last; seed++ {
		args := layouts[[]string{"default", "1k", "orphanfile", "smallgroup"}[seed%4]]
		disk := load(t, mkfs(t, "64M", append([]string{"-N", "8000"}, args...)...))
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { runModel(t, disk, seed, 3, 1500) })
	}
}

func TestLargeDirectory(t *testing.T) {
	const count = 100000
	if testing.Short() {
		t.Skip("-short")
	}
	for _, args := range [][]string{{"-b", "1024", "-O", "large_dir"}, {"-b", "4096"}} {
		disk := load(t, mkfs(t, "200M", append(args, "-N", "110000")...))
		f := mount(t, disk, Options{})
		dir := create(t, root(t, f), "d", typeDir|0o755)
		for k := range count {
			create(t, dir, "an entry with number "+strconv.Itoa(k), typeReg|0o644).Put()
		}
		dir.Put()
		unmount(t, f)
		fsck(t, save(t, disk))

		f = mount(t, disk, Options{})
		dir = walk(t, f, "d")
		seen := map[string]bool{}
		for _, name := range names(t, dir) {
			if seen[name] {
				t.Fatalf("%q comes twice", name)
			}
			seen[name] = true
		}
		if len(seen) != count {
			t.Fatalf("%d names, want %d", len(seen), count)
		}
		for k := 0; k < count; k += 37 {
			i, e := dir.Lookup("an entry with number " + strconv.Itoa(k))
			ok(t, e)
			i.Put()
		}
		removeAll(t, dir)
		dir.Put()
		ok(t, root(t, f).Rmdir("d"))
		unmount(t, f)
		fsck(t, save(t, disk))
	}
}

// removeAll removes the names that it reads, a few at a time, as rm -r does.
func removeAll(t *testing.T, dir *Inode) {
	pos := int64(0)
	for {
		var list []string
		ok(t, dir.ReadDir(pos, func(name string, ino, kind uint32, next int64) bool {
			if len(list) == 100 {
				return false
			}
			pos = next
			if name != "." && name != ".." {
				list = append(list, name)
			}
			return true
		}))
		if len(list) == 0 {
			break
		}
		for _, name := range list {
			ok(t, dir.Unlink(name))
		}
	}
	if left := names(t, dir); len(left) != 0 {
		t.Fatalf("%d names are left: %q …", len(left), left[0])
	}
}

func TestSparse(t *testing.T) {
	disk := load(t, mkfs(t, "64M"))
	f := mount(t, disk, Options{})
	i := create(t, root(t, f), "sparse", typeReg|0o644)
	const size = 100 << 30
	ok(t, i.Truncate(size))
	at := map[int64]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		off := r.Int64N(size / 4096)
		ok(t, i.WriteData([][]byte{pattern(int(off), 4096)}, off*4096, size))
		at[off] = true
	}
	if d := i.depth(); d < 2 {
		t.Errorf("depth of the tree = %d", d)
	}
	check := func(i *Inode) {
		buf := make([]byte, 4096)
		for off := range at {
			ok(t, i.ReadData([][]byte{buf}, off*4096))
			same(t, strconv.FormatInt(off, 10), buf, pattern(int(off), 4096))
		}
		n := 0
		for off := int64(0); ; n++ {
			data, e := i.SeekData(off)
			if e != 0 {
				break
			}
			hole, e := i.SeekHole(data)
			ok(t, e)
			for ; data < hole; data += 4096 {
				if !at[data/4096] {
					t.Fatalf("data at %d", data)
				}
			}
			off = hole
		}
	}
	check(i)
	i.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
	f = mount(t, disk, Options{})
	i = walk(t, f, "sparse")
	check(i)
	ok(t, i.Truncate(size/2))
	for off := range at {
		if off >= size/2/4096 {
			delete(at, off)
		}
	}
	check(i)
	i.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
	f = mount(t, disk, Options{})
	ok(t, root(t, f).Unlink("sparse"))
	unmount(t, f)
	fsck(t, save(t, disk))
}

// TestConcurrent lets goroutines work in directories of their own and in a shared
// one, and on shared files.
func TestConcurrent(t *testing.T) {
	disk := load(t, mkfs(t, "128M", "-N", "20000"))
	f := mount(t, disk, Options{CacheBytes: 1 << 19})
	shared := create(t, root(t, f), "shared", typeDir|0o755)
	file := create(t, shared, "file", typeReg|0o644)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			worker(t, f, shared, file, g)
		}()
	}
	wg.Wait()
	got, e := readAll(file)
	ok(t, e)
	for g := range 8 {
		for k := 0; k < 50; k++ {
			off := (k*8 + g) * 4096
			same(t, "shared file", got[off:off+4096], pattern(g*1000+k, 4096))
		}
	}
	file.Put()
	shared.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}

func worker(t *testing.T, f *FS, shared, file *Inode, g int) {
	own, e := root(t, f).Create("own"+strconv.Itoa(g), typeDir|0o755, 0, 0, 0)
	if e != 0 {
		t.Error(e)
		return
	}
	defer own.Put()
	try := func(e syscall.Errno) {
		if e != 0 {
			t.Error(e)
		}
	}
	for k := range 50 {
		name := fmt.Sprintf("%d-%d", g, k)
		i, e := own.Create(name, typeReg|0o644, 0, 0, 0)
		try(e)
		if e != 0 {
			return
		}
		try(writeAt(i, pattern(k, 30000), 0))
		if k%10 == 0 {
			try(i.Fsync(k%20 == 0))
		}
		try(file.WriteData([][]byte{pattern(g*1000+k, 4096)}, int64(k*8+g)*4096, int64(k*8+g+1)*4096))
		try(i.SetAttr(SetMtime, Attr{Mtime: int64(k)}))
		try(shared.Link("link"+name, i))
		if k%3 == 0 {
			try(own.Rename(name, shared, "moved"+name, false))
		}
		if k%4 == 0 {
			try(shared.Unlink("link" + name))
		}
		names(t, shared)
		c, e := shared.Create("c"+name, typeReg|0o644, 0, 0, 0)
		try(e)
		if e == 0 {
			try(shared.Unlink("c" + name))
			try(writeAt(c, pattern(k, 5000), 0))
			c.Put()
		}
		if k%7 == 0 {
			try(i.Truncate(int64(k) * 100))
			f.Stat()
			i.Attr()
		}
		if k == 25 {
			try(f.Sync())
		}
		i.Put()
	}
}

// TestFull fills a disk: reserved data is written, everything else is ENOSPC, and freed
// blocks can be used again.
func TestFull(t *testing.T) {
	disk := load(t, mkfs(t, "16M", "-b", "1024"))
	f := mount(t, disk, Options{})
	dir := root(t, f)
	for round := range 3 {
		var list []string
		for k := 0; ; k++ {
			name := fmt.Sprintf("f%d", k)
			i, e := dir.Create(name, typeReg|0o644, 0, 0, 0)
			if e != 0 {
				break
			}
			list = append(list, name)
			e = i.Reserve(0, 300000)
			if e == 0 {
				ok(t, writeAt(i, pattern(k, 300000), 0))
			}
			i.Put()
			if e != 0 {
				break
			}
		}
		if len(list) < 30 {
			t.Fatalf("round %d: full after %d files", round, len(list))
		}
		for k, name := range list {
			i := walk(t, f, name)
			if k < len(list)-1 {
				got, e := readAll(i)
				ok(t, e)
				same(t, name, got, pattern(k, 300000))
			}
			i.Put()
			ok(t, dir.Unlink(name))
		}
	}
	dir.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}

func BenchmarkCreate(b *testing.B) {
	disk := load(b, mkfs(b, "512M", "-N", "400000"))
	f := mount(b, disk, Options{})
	dir := root(b, f)
	b.ResetTimer()
	for k := range b.N {
		create(b, dir, "file"+strconv.Itoa(k), typeReg|0o644).Put()
	}
	b.StopTimer()
	unmount(b, f)
}

func BenchmarkAppend(b *testing.B) {
	disk := blocktest.NewMemory(4<<30, 512)
	if err := Format(disk, FormatOptions{}); err != nil {
		b.Fatal(err)
	}
	f := mount(b, disk, Options{})
	i := create(b, root(b, f), "f", typeReg|0o644)
	buf := pattern(1, 256<<10)
	b.SetBytes(int64(len(buf)))
	b.ResetTimer()
	for k := range b.N {
		off := int64(k%8000) * int64(len(buf))
		ok(b, i.WriteData([][]byte{buf}, off, off+int64(len(buf))))
	}
}
