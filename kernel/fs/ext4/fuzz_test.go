package ext4

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// fuzzImage makes a small disk with every kind of metadata, without checksums, so that
// changed bytes are not refused for a wrong checksum.
func fuzzImage(t testing.TB, args ...string) *blocktest.Memory {
	disk := load(t, mkfs(t, "4M", append([]string{"-b", "1024", "-N", "256"}, args...)...))
	f := mount(t, disk, Options{})
	r := root(t, f)
	d := create(t, r, "dir", typeDir|0o755)
	for k := range 40 {
		create(t, d, fmt.Sprintf("an entry of the directory, with a name that is long %d", k), typeReg|0o644).Put()
	}
	create(t, d, "sub", typeDir|0o755).Put()
	d.Put()
	i := create(t, r, "extents", typeReg|0o644)
	for k := range 100 {
		ok(t, writeAt(i, pattern(k, 1024), int64(k)*3072))
	}
	ok(t, i.Allocate(700000, 30000, false))
	i.Put()
	i = create(t, r, "attrs", typeReg|0o644)
	ok(t, writeAt(i, pattern(1, 3000), 0))
	for k := range 6 {
		ok(t, i.SetXattr(fmt.Sprintf("user.name%d", k), pattern(k, 20+k*30), 0))
	}
	i.Put()
	for _, n := range []int{20, 200} {
		l, e := r.Symlink(fmt.Sprint("link", n), strings.Repeat("l", n), 0, 0)
		ok(t, e)
		l.Put()
	}
	o, e := r.CreateUnnamed(typeReg|0o600, 0, 0)
	ok(t, e)
	ok(t, writeAt(o, pattern(1, 5000), 0))
	r.Put()
	// o stays open: the disk has an orphan.
	unmount(t, f)
	return disk
}

// regions are the blocks that a fuzz target changes.
type regions struct {
	disk   *blocktest.Memory
	blocks []uint64
}

// blocksOf lists an inode's metadata blocks: in the inode table, of its extent tree and
// attributes, and the blocks of directories and links.
func blocksOf(t testing.TB, f *FS, path string) (list []uint64) {
	i := walk(t, f, path)
	defer i.Put()
	b, _ := f.locate(i.ino)
	list = append(list, b)
	for l := uint64(0); l < 4096; l++ {
		p, e := i.find(l)
		if e != 0 {
			break
		}
		for k := 1; k <= p.depth; k++ {
			if b := p.nodes[k].buf.Block; list[len(list)-1] != b {
				list = append(list, b)
			}
		}
		p.put()
	}
	if i.acl != 0 {
		list = append(list, i.acl)
	}
	if i.kind() != typeReg && i.extents() {
		for l := range i.size >> f.blockBits {
			m, e := i.lookup(l, 1)
			ok(t, e)
			list = append(list, m.phys)
		}
	}
	return list
}

// mutate applies changes of seven bytes each: which block, where, how wide, what.
func (r *regions) mutate(data []byte) *blocktest.Memory {
	disk := r.disk.Clone()
	buf := make([]byte, 1024)
	for n := 0; len(data) >= 7 && n < 64; n, data = n+1, data[7:] {
		off := int64(r.blocks[int(data[0])%len(r.blocks)]) * 1024
		disk.ReadAt([][]byte{buf}, off)
		at, width := int(le.Uint16(data[1:]))%1024, 1<<(data[3]%3)
		copy(buf[at&^(width-1):][:width], data[4:7])
		disk.WriteAt([][]byte{buf}, off)
	}
	return disk
}

// exercise mounts a disk, reads everything and changes something of each kind. Errors are
// fine; panics and endless loops are not.
func exercise(t *testing.T, disk *blocktest.Memory) {
	watch := time.AfterFunc(60*time.Second, func() { debug.SetTraceback("all"); panic("takes longer than 60 s") })
	defer watch.Stop()
	f, err := Mount(disk, Options{CacheBytes: 1 << 18, Now: func() int64 { return 1e18 }})
	if err != nil {
		return
	}
	defer f.Unmount()
	r, e := f.Root()
	if e != 0 {
		return
	}
	defer r.Put()
	left := 60
	visit(r, &left, 0)
	f.Stat()
	for _, name := range []string{"dir", "extents", "attrs", "link200"} {
		i, e := r.Lookup(name)
		if e != 0 {
			continue
		}
		change(r, i, name)
		i.Put()
	}
	f.Sync()
}

func visit(i *Inode, left *int, depth int) {
	if *left--; *left < 0 || depth > 4 {
		return
	}
	if depth > 1 && *left%4 != 0 {
		i.Attr()
		return
	}
	i.ListXattr()
	i.GetXattr("user.name3")
	i.Readlink()
	i.SeekData(0)
	i.SeekHole(0)
	buf := make([]byte, 2048)
	i.ReadData([][]byte{buf}, 0)
	i.ReadData([][]byte{buf}, i.Attr().Size&^1023)
	i.Extents(0, 1<<40, 100)
	var list []string
	i.ReadDir(0, func(name string, ino, kind uint32, next int64) bool {
		list = append(list, name)
		return len(list) < 300
	})
	for _, name := range list {
		if c, e := i.Lookup(name); e == 0 {
			if name != "." && name != ".." {
				visit(c, left, depth+1)
			}
			c.Put()
		}
	}
}

func change(r, i *Inode, name string) {
	put := func(c *Inode, e syscall.Errno) {
		if e == 0 {
			c.WriteData([][]byte{make([]byte, 4096)}, 0, 4000)
			c.Put()
		}
	}
	put(i.Create("new", typeReg|0o644, 0, 0, 0))
	put(i.Create("newdir", typeDir|0o755, 0, 0, 0))
	for k := range 3 {
		put(i.Create(fmt.Sprint("a name that is quite long and needs a place ", k), typeReg, 0, 0, 0))
	}
	i.Unlink("an entry of the directory, with a name that is long 7")
	i.Rmdir("sub")
	i.Rename("new", r, "renamed", false)
	r.Rename("renamed", i, "an entry of the directory, with a name that is long 8", true)
	i.WriteData([][]byte{make([]byte, 8192)}, 40960, 1<<20)
	i.Reserve(0, 100000)
	i.Allocate(50000, 40000, true)
	i.Zero(3000, 50000)
	i.Punch(10000, 100000)
	i.SetXattr("user.name9", make([]byte, 300), 0)
	i.RemoveXattr("user.name1")
	i.SetAttr(SetMode|SetMtime, Attr{Mode: 0o600})
	i.Fsync(false)
	i.Truncate(5000)
	r.Link("link", i)
	r.Unlink(name)
	r.Rmdir(name)
}

func fuzz(f *testing.F, name string) {
	g := regionsOf(f, name)
	f.Add([]byte{})
	f.Add([]byte{0, 16, 0, 1, 0xff, 0xff, 0xff})
	f.Add([]byte{1, 40, 0, 2, 0, 0, 0, 2, 100, 2, 0, 9, 9, 9})
	f.Fuzz(func(t *testing.T, data []byte) { exercise(t, g.mutate(data)) })
}

func FuzzSuper(f *testing.F)   { fuzz(f, "super") }
func FuzzOrphans(f *testing.F) { fuzz(f, "orphanfile") }
func FuzzExtents(f *testing.F) { fuzz(f, "extents") }
func FuzzDirs(f *testing.F)    { fuzz(f, "dirs") }
func FuzzXattrs(f *testing.F)  { fuzz(f, "xattrs") }

// targets are the fuzz targets for TestMutations.
var targets = map[string]struct {
	blocks func(t testing.TB, fs *FS) []uint64
	args   []string
}{
	"super": {func(t testing.TB, fs *FS) []uint64 {
		g := fs.group[0]
		return []uint64{1, 1, fs.descBlock(0), fs.inodeTable(g), fs.inodeTable(g) + 1, fs.blockBitmap(g), fs.inodeBitmap(g)}
	}, []string{"-O", "^metadata_csum,^resize_inode"}},
	"orphanfile": {func(t testing.TB, fs *FS) []uint64 {
		list := []uint64{1, fs.descBlock(0), fs.inodeTable(fs.group[0]), fs.inodeTable(fs.group[0]) + 1}
		return append(list, fs.orphans.file...)
	}, []string{"-O", "orphan_file,^metadata_csum"}},
	"sums": {func(t testing.TB, fs *FS) []uint64 {
		return append(blocksOf(t, fs, "dir"), 1, fs.descBlock(0), fs.inodeTable(fs.group[0])+1)
	}, []string{"-O", "metadata_csum"}},
	"extents": {func(t testing.TB, fs *FS) []uint64 { return blocksOf(t, fs, "extents") }, []string{"-O", "^metadata_csum"}},
	"dirs": {func(t testing.TB, fs *FS) []uint64 {
		return append(blocksOf(t, fs, "dir"), blocksOf(t, fs, "")...)
	}, []string{"-O", "^metadata_csum,large_dir"}},
	"xattrs": {func(t testing.TB, fs *FS) []uint64 {
		return append(blocksOf(t, fs, "attrs"), blocksOf(t, fs, "link200")...)
	}, []string{"-O", "^metadata_csum"}},
}

// regionsOf makes the image of a target.
func regionsOf(t testing.TB, name string) *regions {
	g := &regions{disk: fuzzImage(t, targets[name].args...)}
	fs := mount(t, g.disk.Clone(), Options{Log: func(string) {}})
	g.blocks = targets[name].blocks(t, fs)
	unmount(t, fs)
	return g
}

// TestMutations runs the fuzz targets on random changes, without the help of
// coverage but much faster: YOLK_MUTATIONS=count, and YOLK_SEED.
func TestMutations(t *testing.T) {
	count := 200
	fmt.Sscan(os.Getenv("YOLK_MUTATIONS"), &count)
	seed := uint64(1)
	fmt.Sscan(os.Getenv("YOLK_SEED"), &seed)
	for name := range targets {
		t.Run(name, func(t *testing.T) {
			g := regionsOf(t, name)
			for k := range uint64(count) {
				data := mutations(g, rand.New(rand.NewPCG(seed, k)))
				func() {
					defer func() {
						if e := recover(); e != nil {
							t.Fatalf("seed %d, number %d, input %x: %v\n%s", seed, k, data, e, debug.Stack())
						}
					}()
					exercise(t, g.mutate(data))
				}()
			}
		})
	}
}

// mutations makes an input: mostly small numbers, powers of two and their neighbours, in
// random places.
func mutations(g *regions, r *rand.Rand) []byte {
	var data []byte
	for range 1 + r.IntN(6) {
		v := r.Uint32()
		switch r.IntN(4) {
		case 0:
			v = uint32(r.IntN(20))
		case 1:
			v = uint32(1)<<r.IntN(24) - uint32(r.IntN(2))
		case 2:
			v = ^uint32(r.IntN(3))
		}
		at := r.IntN(1024)
		if r.IntN(2) == 0 {
			at = r.IntN(128)
		}
		data = append(data, byte(r.IntN(len(g.blocks))), byte(at), byte(at>>8), byte(r.IntN(3)), byte(v), byte(v>>8), byte(v>>16))
	}
	return data
}
