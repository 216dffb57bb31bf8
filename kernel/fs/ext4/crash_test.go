package ext4

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// kept is a mark: file k of a writer is durable with the data of a version. After version 0
// its content may be anything.
type kept struct {
	dir        string
	k, version int
}

// keep creates files in turn, each durable before its mark.
type keep struct {
	t   *testing.T
	rec *blocktest.Recorder
	r   *rand.Rand
	dir *Inode
	own string // name of dir
	n   int
}

// version is the data of file k.
func version(k, v int) []byte { return pattern(k+1000*v, keptSize(k)) }

func keptSize(k int) int { return 1 + (k*7919)%60000 }

func (w *keep) step() {
	if w.n > 5 && w.r.IntN(2) == 0 {
		w.old(w.r.IntN(w.n))
		return
	}
	k := w.n
	w.n++
	i := create(w.t, w.dir, fmt.Sprint("new", k), typeReg|0o644)
	data := version(k, 1)
	if w.r.IntN(2) == 0 {
		ok(w.t, i.Allocate(0, int64(len(data)), w.r.IntN(2) == 0))
	}
	half := len(data) / 2
	ok(w.t, writeAt(i, data[half:], int64(half)))
	if w.r.IntN(2) == 0 {
		ok(w.t, i.Fsync(true))
	}
	ok(w.t, writeAt(i, data[:half], 0))
	ok(w.t, w.dir.Rename(fmt.Sprint("new", k), w.dir, fmt.Sprint("kept", k), false))
	ok(w.t, i.Fsync(w.r.IntN(2) == 0))
	w.rec.Mark(kept{w.own, k, 1})
	i.Put()
}

// old removes or overwrites a file.
func (w *keep) old(k int) {
	i, e := w.dir.Lookup(fmt.Sprint("kept", k))
	if e != 0 {
		return
	}
	defer i.Put()
	w.rec.Mark(kept{w.own, k, 0})
	if w.r.IntN(2) == 0 {
		ok(w.t, w.dir.Unlink(fmt.Sprint("kept", k)))
		if w.r.IntN(3) == 0 {
			ok(w.t, w.dir.Fsync(false))
		}
		return
	}
	v := 2 + w.r.IntN(2)
	ok(w.t, writeAt(i, version(k, v), 0))
	ok(w.t, i.Fsync(true))
	w.rec.Mark(kept{w.own, k, v})
}

// checkKept checks that the files of marks are there.
func checkKept(t *testing.T, f *FS, marks []any) error {
	state := map[kept]int{}
	dirs := map[string]bool{}
	for _, m := range marks {
		if v, is := m.(kept); is {
			state[kept{v.dir, v.k, 0}] = v.version
			dirs[v.dir] = true
		}
	}
	for file, v := range state {
		if v == 0 {
			continue
		}
		name := fmt.Sprint(file.dir, "/kept", file.k)
		i := walk(t, f, name)
		got, e := readAll(i)
		i.Put()
		if e != 0 || string(got) != string(version(file.k, v)) {
			return fmt.Errorf("%s: %v or wrong data", name, e)
		}
	}
	for name := range dirs {
		dir := walk(t, f, name)
		err := checkStale(t, dir)
		dir.Put()
		if err != nil {
			return err
		}
	}
	return nil
}

// checkStale checks that files that were not durable contain their own data or zeroes.
func checkStale(t *testing.T, dir *Inode) error {
	for _, name := range names(t, dir) {
		k := 0
		if n, _ := fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(name, "new"), "kept"), "%d", &k); n != 1 {
			continue
		}
		i, e := dir.Lookup(name)
		if e != 0 {
			return fmt.Errorf("%s: %v", name, e)
		}
		got, e := readAll(i)
		i.Put()
		a, b, d := version(k, 1), version(k, 2), version(k, 3)
		if e != 0 || len(got) > len(a) {
			return fmt.Errorf("%s: %v, %d bytes of %d", name, e, len(got), len(a))
		}
		for at, c := range got {
			if c != 0 && c != a[at] && c != b[at] && c != d[at] {
				return fmt.Errorf("%s: foreign data at %d", name, at)
			}
		}
	}
	return nil
}

// TestPowerCut cuts the power at random points, loses or tears unflushed writes, and expects
// a sound disk with everything that fsync acknowledged.
func TestPowerCut(t *testing.T) {
	cuts := 40
	if testing.Short() {
		cuts = 8
	}
	fmt.Sscan(os.Getenv("YOLK_CUTS"), &cuts)
	for name, args := range map[string][]string{
		"4k": {"-b", "4096"}, "1k": {"-b", "1024", "-O", "orphan_file"}, "nocsum": {"-b", "2048", "-O", "^metadata_csum"},
	} {
		t.Run(name, func(t *testing.T) { powerCut(t, "48M", args, cuts) })
	}
	t.Run("tight", func(t *testing.T) { powerCut(t, "10M", []string{"-b", "1024"}, cuts) })
}

// dirtyDisk makes a disk whose free blocks have the data of a file that was removed.
func dirtyDisk(t *testing.T, size string, args []string) *blocktest.Memory {
	disk := load(t, mkfs(t, size, append([]string{"-N", "4000"}, args...)...))
	f := mount(t, disk, Options{})
	r := root(t, f)
	i := create(t, r, "old", typeReg|0o644)
	for n := int64(0); i.Reserve(n, 1<<16) == 0; n += 1 << 16 {
		ok(t, writeAt(i, pattern(-1-int(n), 1<<16), n))
	}
	i.Put()
	ok(t, r.Unlink("old"))
	unmount(t, f)
	return disk
}

func powerCut(t *testing.T, size string, args []string, cuts int) {
	seed := uint64(1)
	fmt.Sscan(os.Getenv("YOLK_SEED"), &seed)
	rec := blocktest.NewRecorder(dirtyDisk(t, size, args))
	f := mount(t, rec, Options{CacheBytes: 1 << 18, Discard: 4096})
	var writers []*keep
	for g := range 4 {
		own := fmt.Sprint("keep", g)
		writers = append(writers, &keep{t: t, rec: rec, r: rand.New(rand.NewPCG(seed, uint64(g))), dir: create(t, root(t, f), own, typeDir|0o755), own: own})
	}
	ok(t, f.Sync())
	start := rec.Len()
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 60 {
				w.step()
			}
		}()
	}
	r := rand.New(rand.NewPCG(seed, 5))
	m := &model{t: t, r: r, root: newNode(typeDir), most: 300000, fs: f}
	m.dirs = []*modelNode{m.root}
	for range 700 {
		if size != "10M" { // the smallest has no room for the model's files
			m.step()
		}
	}
	wg.Wait()
	points := make([]int, cuts)
	for k := range points {
		points[k] = start + r.IntN(rec.Len()-start)
	}
	slices.Sort(points)
	c := rec.Crash()
	for _, at := range points {
		c.To(at)
		loss := []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random, blocktest.Torn}[r.IntN(4)]
		checkCut(t, fmt.Sprintf("cut at %d, loss %d", at, loss), c.Disk(loss, r), c.Marks())
	}
}

func checkCut(t *testing.T, what string, disk *blocktest.Memory, marks []any) {
	t.Helper()
	f := mount(t, disk, Options{Log: func(s string) {
		if strings.Contains(s, "damaged") {
			t.Log(what, ": ", s)
		}
	}})
	if err := checkKept(t, f, marks); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	unmount(t, f)
	fsck(t, save(t, disk))
}

// TestReuse fills the disk right after directories, links and extent trees were removed, so
// that data takes their blocks, of which the log still has copies.
func TestReuse(t *testing.T) {
	rec := blocktest.NewRecorder(load(t, mkfs(t, "16M", "-b", "1024")))
	f := mount(t, rec, Options{Discard: 4096})
	r := root(t, f)
	for k := range 60 {
		create(t, r, fmt.Sprint("dir", k), typeDir|0o755).Put()
		l, e := r.Symlink(fmt.Sprint("link", k), strings.Repeat("l", 300), 0, 0)
		ok(t, e)
		l.Put()
	}
	i := create(t, r, "tree", typeReg|0o644)
	for k := range 600 {
		ok(t, writeAt(i, pattern(k, 1024), int64(k)*2048))
	}
	ok(t, i.SetXattr("user.a", pattern(1, 700), 0))
	i.Put()
	ok(t, f.Sync())
	for k := range 60 {
		ok(t, r.Rmdir(fmt.Sprint("dir", k)))
		ok(t, r.Unlink(fmt.Sprint("link", k)))
	}
	ok(t, r.Unlink("tree"))
	ok(t, f.Sync())
	i = create(t, r, "full", typeReg|0o644)
	n := int64(0)
	for ; i.Reserve(n, 1024) == 0; n += 1024 {
		ok(t, writeAt(i, pattern(int(n), 1024), n))
	}
	ok(t, i.Fsync(false))
	c := rec.Crash()
	c.To(rec.Len())
	for _, loss := range []blocktest.Loss{blocktest.Nothing, blocktest.All} {
		disk := c.Disk(loss, rand.New(rand.NewPCG(1, 1)))
		g := mount(t, disk, Options{})
		got, e := readAll(walk(t, g, "full"))
		ok(t, e)
		if int64(len(got)) != n {
			t.Fatalf("%d bytes, want %d", len(got), n)
		}
		for off := int64(0); off < n; off += 1024 {
			same(t, fmt.Sprint("block at ", off), got[off:off+1024], pattern(int(off), 1024))
		}
		unmount(t, g)
		fsck(t, save(t, disk))
	}
}

// TestFreedWaits: blocks of a file are not used again before its removal is durable.
func TestFreedWaits(t *testing.T) {
	rec := blocktest.NewRecorder(load(t, mkfs(t, "8M", "-b", "1024")))
	f := mount(t, rec, Options{Discard: 4096})
	r := root(t, f)
	a := create(t, r, "a", typeReg|0o644)
	n := int64(0)
	for ; a.Reserve(n, 1<<14) == 0; n += 1 << 14 {
		ok(t, writeAt(a, pattern(int(n), 1<<14), n))
	}
	a.Put()
	ok(t, f.Sync())
	start := rec.Len()
	ok(t, r.Unlink("a"))
	b := create(t, r, "b", typeReg|0o644)
	for off := int64(0); off < n/2; off += 1 << 16 {
		ok(t, b.Reserve(off, 1<<16))
		ok(t, writeAt(b, pattern(1, 1<<16), off))
	}
	c := rec.Crash()
	seen := 0
	for at := start; at <= rec.Len(); at++ {
		c.To(at)
		g := mount(t, c.Disk(blocktest.Nothing, nil), Options{Log: func(string) {}})
		if i, e := root(t, g).Lookup("a"); e == 0 {
			seen++
			got, e := readAll(i)
			ok(t, e)
			for off := int64(0); off < n; off += 1 << 14 {
				same(t, fmt.Sprintf("cut at %d, block at %d", at, off), got[off:off+1<<14], pattern(int(off), 1<<14))
			}
			i.Put()
		}
		g.Unmount()
	}
	if seen == 0 || seen == rec.Len()+1-start {
		t.Fatal("the removal was never or always durable")
	}
}

// TestTruncateCut cuts the power while a large file of few extents is truncated and
// transactions commit all the time.
func TestTruncateCut(t *testing.T) {
	rec := blocktest.NewRecorder(load(t, mkfs(t, "96M", "-b", "1024", "-N", "1024", "-O", "sparse_super2,^resize_inode")))
	f := mount(t, rec, Options{})
	i := create(t, root(t, f), "a", typeReg|0o644)
	ok(t, i.WriteData([][]byte{make([]byte, 70<<20)}, 0, 70<<20))
	if d := i.depth(); d != 0 {
		t.Fatal("the file has a tree of depth ", d)
	}
	ok(t, f.Sync())
	start := rec.Len()
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			f.j.CommitAll()
		}
	})
	ok(t, i.Truncate(5000))
	done.Store(true)
	wg.Wait()
	c := rec.Crash()
	step := max(1, (rec.Len()-start)/12)
	for at := start; at <= rec.Len(); at += step {
		c.To(at)
		disk := c.Disk(blocktest.Nothing, nil)
		// e2fsck replays the journal and completes the truncation of orphans, as Linux does.
		path := save(t, disk)
		if out, code := tool(t, "e2fsck", "-p", path); code > 1 {
			t.Fatalf("cut at %d: %s", at, out)
		}
		fsck(t, path)
		checkCut(t, fmt.Sprint("cut at ", at), disk, nil)
	}
}
