package ext4fs

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

var (
	cases = flag.Int("cases", 60, "how many crash images TestPowerCut builds and checks")
	seed  = flag.Uint64("seed", 1, "of TestPowerCut's choices")
)

// The marks of the workload record what was acknowledged.
type (
	// replaced: the file has at least this version.
	replaced struct {
		name    string
		version int
	}
	// appended: the log has at least this number of records.
	appended struct{ records int }
	// removed: the name does not exist, unless a later version was begun.
	removed struct {
		name    string
		version int
	}
)

// content is version v of a file: its number again and again, with a length that depends on
// it.
func content(name string, v int) []byte {
	line := []byte(fmt.Sprintf("%s version %d\n", name, v))
	return bytes.Repeat(line, 1+(v*7919)%900)
}

const recordSize = 100

func logRecord(i int) []byte {
	return []byte(fmt.Sprintf("%-*d\n", recordSize-1, i))
}

// workload changes files from three goroutines and marks what is durable.
type workload struct {
	*mounted
	rec *blocktest.Recorder
}

// replace writes a new version to another file, syncs it, renames it over the file, as
// programs do to replace a file atomically, and syncs the directory.
func (w *workload) replace(r *rand.Rand, rounds int) {
	dir := w.fs.Root()
	for v := 1; v <= rounds; v++ {
		name := fmt.Sprintf("file%d", r.IntN(5))
		f := w.create(name + ".tmp")
		f.Truncate(0)
		f.Write(content(name, v), 0)
		w.check("fsync", f.Sync(r.IntN(2) == 0))
		f.Release()
		w.check("rename", dir.Rename(name+".tmp", dir, name, false))
		if r.IntN(3) > 0 {
			w.syncDir(dir)
			w.rec.Mark(replaced{name, v})
		}
		if r.IntN(6) == 0 {
			w.check("remove", dir.Remove(name, false))
			w.syncDir(dir)
			w.rec.Mark(removed{name, v})
		}
	}
}

func (w *workload) syncDir(d kernel.Directory) {
	f, e := d.Open(syscall.O_RDONLY)
	w.check("open directory", e)
	w.check("fsync directory", f.(kernel.Syncer).Sync(false))
	f.Release()
}

// log appends records and syncs some of them.
func (w *workload) log(r *rand.Rand, rounds int) {
	f := w.create("log")
	defer f.Release()
	for i := range rounds {
		f.Append(logRecord(i))
		if r.IntN(4) == 0 {
			w.check("fsync", f.Sync(true))
			w.rec.Mark(appended{i + 1})
		}
	}
}

// noise makes, grows, truncates and removes files in directories. It syncs nothing but, now
// and then, the whole file system.
func (w *workload) noise(r *rand.Rand, rounds int) {
	root := w.fs.Root()
	for i := range rounds {
		name := "dir" + strconv.Itoa(r.IntN(4))
		root.Create(name, syscall.S_IFDIR|0o755, 0)
		n, e := root.Lookup(name)
		if e != 0 {
			continue
		}
		d := n.(kernel.Directory)
		switch r.IntN(8) {
		case 0:
			root.Remove(name, true)
		case 1:
			d.Symlink(fmt.Sprint("link", i), strings.Repeat("x", r.IntN(200)))
		case 2:
			d.Remove(fmt.Sprint("f", r.IntN(30)), false)
		case 3:
			d.Rename(fmt.Sprint("f", r.IntN(30)), d, fmt.Sprint("f", r.IntN(30)), r.IntN(2) == 0)
		case 4:
			if r.IntN(4) == 0 {
				w.fs.Sync()
			}
		default:
			name := fmt.Sprint("f", r.IntN(30))
			d.Create(name, syscall.S_IFREG|0o644, 0)
			if n, e := d.Lookup(name); e == 0 {
				f, e := n.Open(syscall.O_RDWR)
				if e == 0 {
					f.Write(make([]byte, r.IntN(60000)), r.Int64N(1<<20))
					f.(kernel.Resizer).Truncate(r.Int64N(1 << 20))
					f.Release()
				}
			}
		}
	}
}

// record runs the workload on a new disk.
func record(t *testing.T, r *rand.Rand) *blocktest.Recorder {
	disk := mkfs(t, "24M")
	rec := blocktest.NewRecorder(disk)
	w := &workload{mount(t, rec, 6000), rec}
	seeds := [3]uint64{r.Uint64(), r.Uint64(), r.Uint64()}
	var wg sync.WaitGroup
	for i, f := range []func(*rand.Rand, int){w.replace, w.log, w.noise} {
		wg.Go(func() { f(rand.New(rand.NewPCG(seeds[i], 0)), 120) })
	}
	wg.Wait()
	return rec
}

// After a power cut at any moment, with any part of the unflushed writes lost, the disk
// mounts, e2fsck finds nothing wrong with it, everything acknowledged is there, and no file
// is there in part.
func TestPowerCut(t *testing.T) {
	t.Log("seed", *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	const perRecord = 100
	for done := 0; done < *cases; done += perRecord {
		rec := record(t, r)
		for range min(perRecord, *cases-done) {
			crash := rec.Crash()
			at := r.IntN(rec.Len() + 1)
			crash.To(at)
			loss := []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random, blocktest.Torn}[r.IntN(4)]
			t.Run(fmt.Sprintf("event%d-loss%d", at, loss), func(t *testing.T) {
				// e2fsck refuses a torn superblock or commit, which this package accepts
				checkCrash(t, crash.Disk(loss, r), crash.Marks(), loss != blocktest.Torn && r.IntN(10) == 0)
			})
			if t.Failed() {
				return
			}
		}
	}
}

func checkCrash(t *testing.T, d *blocktest.Memory, marks []any, second bool) {
	if second {
		otherReplay(t, d.Clone())
	}
	m := mount(t, d, 6000)
	want := map[string]int{}
	removedAt := map[string]int{}
	records := 0
	for _, mark := range marks {
		switch k := mark.(type) {
		case replaced:
			want[k.name] = k.version
		case removed:
			delete(want, k.name)
			removedAt[k.name] = k.version
		case appended:
			records = k.records
		}
	}
	for i := range 5 {
		name := fmt.Sprintf("file%d", i)
		m.checkVersion(name, want[name], removedAt[name])
	}
	m.checkLog(records)
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}

// checkVersion checks that a file is one complete version, not older than least. It may be
// missing only if none was acknowledged, or if it was removed since.
func (m *mounted) checkVersion(name string, least, removedAt int) {
	m.t.Helper()
	if _, e := m.fs.Root().Lookup(name); e == syscall.ENOENT {
		// It may have been removed without an acknowledgement after the acknowledged
		// version: only the next version's mark says more.
		return
	}
	got := m.read(name)
	var v int
	if _, err := fmt.Sscanf(string(got), name+" version %d", &v); err != nil {
		m.t.Fatalf("%s has %d bytes and no version: %.40q", name, len(got), got)
	}
	if !bytes.Equal(got, content(name, v)) {
		m.t.Fatalf("%s is not whole: version %d, %d bytes", name, v, len(got))
	}
	if v < least {
		m.t.Fatalf("%s has version %d; %d was acknowledged", name, v, least)
	}
	if v <= removedAt {
		m.t.Fatalf("%s has version %d again, which was removed", name, v)
	}
}

// checkLog checks that the log begins with the records that were acknowledged and has
// nothing but records.
func (m *mounted) checkLog(records int) {
	m.t.Helper()
	if _, e := m.fs.Root().Lookup("log"); e == syscall.ENOENT {
		if records > 0 {
			m.t.Fatalf("the log is missing; %d records were acknowledged", records)
		}
		return
	}
	got := m.read("log")
	if len(got) < records*recordSize {
		m.t.Fatalf("the log has %d bytes; %d records were acknowledged", len(got), records)
	}
	for i := 0; i*recordSize < len(got); i++ {
		part := got[i*recordSize : min((i+1)*recordSize, len(got))]
		if !bytes.HasPrefix(logRecord(i), part) {
			m.t.Fatalf("record %d is %.40q", i, part)
		}
	}
}

// otherReplay lets e2fsck replay the journal, independently, and check the result.
func otherReplay(t *testing.T, d *blocktest.Memory) {
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-y", "-E", "journal_only", file).CombinedOutput(); err != nil {
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() > 1 {
			t.Fatalf("e2fsck -E journal_only: %v\n%s", err, out)
		}
	}
	// What remains for a mount (orphans) is done with -p and is no error.
	if out, err := exec.Command("e2fsck", "-fp", file).CombinedOutput(); err != nil {
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() > 1 {
			t.Fatalf("e2fsck -fp after its own replay: %v\n%s", err, out)
		}
	}
}
