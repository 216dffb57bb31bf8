package ext4

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/block/blocktest"
)

// kept is a mark: file k was made durable, or durably removed.
type kept struct {
	k    int
	gone bool
}

// keep makes files one after the other, each durable before its mark.
type keep struct {
	t   *testing.T
	rec *blocktest.Recorder
	r   *rand.Rand
	dir *Inode
	n   int
}

func keptSize(k int) int { return 1 + (k*7919)%60000 }

func (w *keep) step() {
	if w.n > 5 && w.r.IntN(4) == 0 {
		k := w.r.IntN(w.n)
		// From here on the file may be there or not.
		w.rec.Mark(kept{k, true})
		w.dir.Unlink(fmt.Sprint("kept", k))
		ok(w.t, w.dir.Fsync(false))
		return
	}
	k := w.n
	w.n++
	i := create(w.t, w.dir, fmt.Sprint("new", k), typeReg|0o644)
	data := pattern(k, keptSize(k))
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
	w.rec.Mark(kept{k, false})
	i.Put()
}

// checkKept checks what marks promise. A file that fdatasync made durable may have
// its name from before the rename.
func checkKept(t *testing.T, f *FS, marks []any) error {
	state := map[int]int{}
	for _, m := range marks {
		if v, is := m.(kept); is {
			state[v.k] = 1
			if v.gone {
				state[v.k] = 2
			}
		}
	}
	dir := walk(t, f, "keep")
	defer dir.Put()
	for k, s := range state {
		if s == 2 {
			continue
		}
		i, errno := dir.Lookup(fmt.Sprint("kept", k))
		if errno != 0 {
			return fmt.Errorf("kept%d: %v", k, errno)
		}
		got, errno := readAll(i)
		i.Put()
		if errno != 0 || string(got) != string(pattern(k, keptSize(k))) {
			return fmt.Errorf("kept%d: %v or wrong data", k, errno)
		}
	}
	return checkStale(t, dir)
}

// checkStale checks that files that were not durable hold their own data or zeroes.
func checkStale(t *testing.T, dir *Inode) error {
	for _, name := range names(t, dir) {
		k := 0
		if n, _ := fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(name, "new"), "kept"), "%d", &k); n != 1 {
			continue
		}
		i, errno := dir.Lookup(name)
		if errno != 0 {
			return fmt.Errorf("%s: %v", name, errno)
		}
		got, errno := readAll(i)
		i.Put()
		want := pattern(k, keptSize(k))
		if errno != 0 || len(got) > len(want) {
			return fmt.Errorf("%s: %v, %d bytes of %d", name, errno, len(got), len(want))
		}
		for at, c := range got {
			if c != 0 && c != want[at] {
				return fmt.Errorf("%s: foreign data at %d", name, at)
			}
		}
	}
	return nil
}

// TestPowerCut cuts the power at random points, loses or tears what no flush
// covered, and wants a sound disk with everything that fsync promised.
func TestPowerCut(t *testing.T) {
	cuts := 40
	fmt.Sscan(os.Getenv("YOLK_CUTS"), &cuts)
	for name, args := range map[string][]string{
		"4k": {"-b", "4096"}, "1k": {"-b", "1024", "-O", "orphan_file"}, "nocsum": {"-b", "2048", "-O", "^metadata_csum"},
	} {
		t.Run(name, func(t *testing.T) { powerCut(t, args, cuts) })
	}
}

func powerCut(t *testing.T, args []string, cuts int) {
	seed := uint64(1)
	fmt.Sscan(os.Getenv("YOLK_SEED"), &seed)
	r := rand.New(rand.NewPCG(seed, 5))
	rec := blocktest.NewRecorder(load(t, mkfs(t, "32M", append([]string{"-N", "4000"}, args...)...)))
	f := mount(t, rec, Options{CacheBytes: 1 << 18})
	m := &model{t: t, r: r, root: newNode(typeDir), most: 300000, fs: f}
	m.dirs = []*modelNode{m.root}
	w := &keep{t: t, rec: rec, r: r, dir: create(t, root(t, f), "keep", typeDir|0o755)}
	ok(t, f.Sync())
	start := rec.Len()
	for range 150 {
		for range r.IntN(10) {
			m.step()
		}
		w.step()
	}
	end := rec.Len()
	var points []int
	for range cuts {
		points = append(points, start+r.IntN(end-start))
	}
	for k := range points {
		for l := k; l > 0 && points[l] < points[l-1]; l-- {
			points[l], points[l-1] = points[l-1], points[l]
		}
	}
	c := rec.Crash()
	for _, at := range points {
		c.To(at)
		loss := []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random, blocktest.Torn}[r.IntN(4)]
		disk := c.Disk(loss, r)
		g := mount(t, disk, Options{Log: func(s string) {
			if strings.Contains(s, "damaged") {
				t.Log(at, ": ", s)
			}
		}})
		if err := checkKept(t, g, c.Marks()); err != nil {
			t.Fatalf("cut at %d, loss %d: %v", at, loss, err)
		}
		unmount(t, g)
		fsck(t, save(t, disk))
	}
}
