package ext4

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// piecesOf are the blocks of 1024 bytes where mapFile has data: at both ends of the direct
// blocks and of each tree.
var piecesOf = []int64{0, 5, 11, 12, 100, 267, 268, 523, 524, 30000, 65803, 65804, 66059, 66060, 70000}

// mapFile puts a sparse file with a block map of three levels onto an ext3 disk that got
// the feature extents afterwards, and returns its content. edit are commands for debugfs.
func mapFile(t *testing.T, edit ...string) (*blocktest.Memory, []byte) {
	t.Helper()
	path := mkfs(t, "16M", "-t", "ext3", "-b", "1024")
	host := image(t, nil)
	h, err := os.OpenFile(host, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for k, l := range piecesOf {
		h.WriteAt(pattern(k+1, 1024), l*1024)
	}
	h.Close()
	want, err := os.ReadFile(host)
	if err != nil {
		t.Fatal(err)
	}
	debugfs(t, path, append([]string{"write " + host + " file"}, edit...)...)
	if out, code := tool(t, "tune2fs", "-O", "extents", path); code != 0 {
		t.Fatal(out)
	}
	return load(t, path), want
}

// A power cut has left a file with names as an orphan, in the middle of a truncation: the
// blocks after its size are freed, also if it has a block map.
func TestOrphanWithMap(t *testing.T) {
	for _, size := range []int{0, 1000, 12 << 10, 268<<10 + 5, 65804 << 10, 66060<<10 + 1} {
		disk, want := mapFile(t, "set_inode_field file size "+strconv.Itoa(size), "set_super_value last_orphan 12")
		f := mount(t, disk, Options{})
		i := walk(t, f, "file")
		if i.extents() {
			t.Fatal("the file has no map")
		}
		got, e := readAll(i)
		ok(t, e)
		same(t, "file of size "+strconv.Itoa(size), got, want[:size])
		ok(t, i.Truncate(1<<20))
		got, e = readAll(i)
		ok(t, e)
		same(t, "larger", got[min(size, 1<<20):], make([]byte, 1<<20-min(size, 1<<20)))
		i.Put()
		unmount(t, f)
		fsck(t, save(t, disk))
	}
}

// A file keeps its block map when it is truncated: that needs no free block, and works with
// maps that are too large to be converted.
func TestTruncateMap(t *testing.T) {
	disk, want := mapFile(t)
	f := mount(t, disk, Options{Discard: -1})
	i := walk(t, f, "file")
	fill(t, f)
	for k := len(piecesOf) - 1; k >= 0; k-- {
		for _, size := range []int64{piecesOf[k]*1024 + 7, piecesOf[k] * 1024} {
			ok(t, i.Truncate(size))
			got, e := readAll(i)
			ok(t, e)
			same(t, "size "+strconv.FormatInt(size, 10), got, want[:size])
		}
		ok(t, f.Sync())
		lost := disk.Clone()
		unmount(t, mount(t, lost, Options{}))
		fsck(t, save(t, lost))
	}
	if i.extents() || i.blocks != 0 {
		t.Errorf("extents: %v, %d sectors", i.extents(), i.blocks)
	}
	i.Put()
	unmount(t, f)
	fsck(t, save(t, disk))
}

// All slots of a damaged map lead to the same blocks. A walk does not follow each path:
// it skips holes by whole indirect blocks, and also data where only its end is looked for.
func TestMapInCircles(t *testing.T) {
	for _, data := range []bool{false, true} {
		disk, _ := mapFile(t)
		f := mount(t, disk, Options{})
		i := walk(t, f, "file")
		b3 := le.Uint32(i.block[4*(directBlocks+2):])
		b2 := le.Uint32(i.block[4*(directBlocks+1):])
		b1 := le.Uint32(i.block[4*directBlocks:])
		b0 := uint32(0)
		if data {
			b0 = le.Uint32(i.block[:])
		}
		clear(i.block[:4*(directBlocks+2)])
		i.size = 16 << 30
		for block, v := range map[uint32]uint32{b3: b2, b2: b1, b1: b0} {
			b, e := f.j.Get(uint64(block))
			ok(t, e)
			for k := 0; k < len(b.Data); k += 4 {
				le.PutUint32(b.Data[k:], v)
			}
			b.Put()
		}
		steps := 0
		for l, end := uint64(0), i.size>>f.blockBits; l < end; steps++ {
			m, e := i.lookupIndirect(l, end-l, true)
			ok(t, e)
			l += m.n
		}
		if steps > 256*256+10 {
			t.Errorf("data %v: %d steps to the end of the file", data, steps)
		}
		if !data {
			if off, e := i.SeekData(0); e != syscall.ENXIO {
				t.Errorf("SeekData = %d, %v", off, e)
			}
		} else if off, e := i.SeekHole(100 << 20); e != 0 || off != int64(i.size) {
			t.Errorf("SeekHole = %d, %v", off, e)
		}
		if e := i.toExtents(); e != syscall.EIO {
			t.Errorf("conversion: %v, want EIO", e)
		}
		i.Put()
		unmount(t, f)
	}
}

// Whatever a map and its inode contain, nothing panics and nothing loops forever.
func TestDamagedMaps(t *testing.T) {
	disk, _ := mapFile(t)
	f := mount(t, disk.Clone(), Options{})
	i := walk(t, f, "file")
	table, _ := f.locate(i.ino)
	g := &regions{disk: disk, blocks: []uint64{table}}
	for level := 1; level <= 3; level++ {
		list, e := i.mapBlocks(nil, uint64(le.Uint32(i.block[4*(directBlocks+level-1):])), level)
		ok(t, e)
		g.blocks = append(g.blocks, list...)
	}
	i.Put()
	unmount(t, f)
	for k := range uint64(200) {
		r := rand.New(rand.NewPCG(1, k))
		f, err := Mount(g.mutate(mutations(g, r)), Options{CacheBytes: 1 << 18})
		if err != nil {
			continue
		}
		if i, e := f.Inode(12); e == 0 {
			i.SeekData(r.Int64N(1 << 30))
			i.SeekHole(r.Int64N(1 << 30))
			i.ReadData([][]byte{make([]byte, 8192)}, r.Int64N(1<<16)<<10)
			i.Truncate(r.Int64N(80 << 20))
			i.WriteData([][]byte{make([]byte, 4096)}, r.Int64N(1<<16)<<10, 0)
			i.Truncate(r.Int64N(1 << 20))
			i.Put()
		}
		dir := root(t, f)
		dir.Unlink("file")
		dir.Put()
		f.Unmount()
	}
}
