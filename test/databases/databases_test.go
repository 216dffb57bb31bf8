// Package databases checks Go's embedded databases, and a program that replaces files, after power
// cuts and kills: they have the changes that they acknowledged, and none in part. The program is
// work, in a module of its own.
package databases

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/nbd"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

var (
	cases = flag.Int("cases", 40, "how many crash images TestPowerCuts builds and checks")
	kills = flag.Int("kills", 3, "how often TestKills kills the VMM")
	seed  = flag.Uint64("seed", 1, "of the choices")
)

func TestMain(m *testing.M) { vm.Main(m) }

const work = "./test/databases/work"

// timeout bounds a run with its build: SQLite is large.
const timeout = 10 * time.Minute

// states are numbers of changes by the name of the store.
type states map[string]int

var line = regexp.MustCompile(`(?m)^(ack|state) (\S+) (\d+)$`)

// add records the lines of a kind.
func (s states) add(output, kind string) {
	for _, f := range line.FindAllStringSubmatch(output, -1) {
		if f[1] == kind {
			s[f[2]], _ = strconv.Atoi(f[3])
		}
	}
}

// wantNotOlder checks that every store has the changes that were acknowledged. The program has checked
// that its state is that after a whole number of changes.
func (s states) wantNotOlder(t *testing.T, acked states) {
	t.Helper()
	for name, n := range acked {
		if got, ok := s[name]; !ok || got < n {
			t.Errorf("%s has %d changes (%v); %d were acknowledged", name, got, ok, n)
		}
	}
}

// record runs the program in a VM on a disk that records what is written, with a mark for each
// acknowledgement; changes is how many changes each store makes.
func record(t *testing.T, changes int) *blocktest.Recorder {
	t.Helper()
	name := disks.New(t, "32M")
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rec := blocktest.NewRecorder(blocktest.FromBytes(image, 512))
	command := vm.Run(t, vm.Options{
		Flags: []string{"-n", "-smp", "2", "-disk", name + ":/data"}, Target: work, Args: []string{"run", "/data", fmt.Sprint(changes)}, Timeout: timeout,
	})
	if command.Status != 0 {
		t.Fatalf("yolk run -n: %+v", command)
	}
	cmd := exec.Command("timeout", "300", "sh", "-c", strings.Replace(command.Stdout, "file="+name, "file=nbd:"+nbd.Serve(t, rec), 1))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := false
	acked := states{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acked.add(lines.Text(), "ack")
		rec.Mark(lines.Text())
		done = done || lines.Text() == "done"
		if strings.HasPrefix(lines.Text(), "wrong") {
			t.Fatal(lines.Text())
		}
	}
	cmd.Wait()
	if !done {
		t.Fatal("the program did not end")
	}
	t.Logf("%d events, changes: %v", rec.Len(), acked)
	return rec
}

// After a power cut at any moment, with any part of the unflushed writes lost, every store has what
// it acknowledged, and e2fsck finds nothing wrong.
func TestPowerCuts(t *testing.T) {
	vm.Command(t)
	check := filepath.Join(t.TempDir(), "work")
	build := exec.Command("go", "build", "-o", check, ".")
	build.Dir = "work"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	r := rand.New(rand.NewPCG(*seed, 1))
	const perRecord = 500
	for done := 0; done < *cases && !t.Failed(); done += perRecord {
		rec := record(t, 100)
		for range min(perRecord, *cases-done) {
			crash := rec.Crash()
			at := r.IntN(rec.Len() + 1)
			crash.To(at)
			loss := []blocktest.Loss{blocktest.Nothing, blocktest.All, blocktest.Random, blocktest.Torn}[r.IntN(4)]
			t.Run(fmt.Sprintf("event%d-loss%d", at, loss), func(t *testing.T) {
				acked := states{}
				for _, mark := range crash.Marks() {
					acked.add(mark.(string), "ack")
				}
				checkCrash(t, crash.Disk(loss, r), check, acked)
			})
			if t.Failed() {
				return
			}
		}
	}
}

// checkCrash mounts what a power cut left and lets the program check it.
func checkCrash(t *testing.T, d *blocktest.Memory, check string, acked states) {
	if keep := os.Getenv("YOLK_KEEP"); keep != "" { // the image of a failure
		before := d.Clone()
		defer func() {
			if t.Failed() {
				os.WriteFile(filepath.Join(keep, "crash.img"), before.Bytes(), 0o644)
			}
		}()
	}
	fs, err := ext4.Mount(d, ext4.Options{Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(ramDir(), "yolk-crash-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, e := fs.Root()
	if e != 0 {
		t.Fatal(e)
	}
	if err := extract(root, filepath.Join(dir, "files")); err != nil {
		t.Fatal(err)
	}
	root.Put()
	if e := fs.Unmount(); e != 0 {
		t.Fatal(e)
	}
	image := filepath.Join(dir, "image")
	if err := os.WriteFile(image, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	disks.Run(t, "e2fsck", "-fn", image)
	out, err := exec.Command(check, "check", filepath.Join(dir, "files")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := states{}
	got.add(string(out), "state")
	got.wantNotOlder(t, acked)
}

// ramDir is a folder in memory, if there is one, for many short-lived files.
func ramDir() string {
	var st syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &st) == nil && st.Bavail*uint64(st.Bsize) > 256<<20 {
		return "/dev/shm"
	}
	return ""
}

// extract copies a directory of a disk to the host.
func extract(d *ext4.Inode, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	var names []string
	e := d.ReadDir(0, func(n string, _, _ uint32, _ int64) bool {
		if n != "." && n != ".." && n != "lost+found" {
			names = append(names, n)
		}
		return true
	})
	if e != 0 {
		return e
	}
	for _, n := range names {
		i, e := d.Lookup(n)
		if e != 0 {
			return fmt.Errorf("%s: %w", n, e)
		}
		var err error
		switch i.Attr().Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			err = extract(i, path.Join(to, n))
		case syscall.S_IFREG:
			b := make([]byte, (i.Attr().Size+4095)&^4095)
			if e := i.ReadData([][]byte{b}, 0); e != 0 && len(b) > 0 {
				err = e
			} else {
				err = os.WriteFile(path.Join(to, n), b[:i.Attr().Size], 0o644)
			}
		}
		i.Put()
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return nil
}

// However often and whenever the VMM is killed, every store continues from what it acknowledged.
func TestKills(t *testing.T) {
	name := disks.New(t, "1G") // the stores grow for as long as they run
	flags := []string{"-smp", "2", "-disk", name + ":/data"}
	r := rand.New(rand.NewPCG(*seed, 2))
	acked := states{}
	for range *kills {
		out := killed(t, flags, time.Duration(r.IntN(3000))*time.Millisecond)
		got := states{}
		got.add(out, "state")
		got.wantNotOlder(t, acked)
		acked.add(out, "state") // a state that is printed counts as acknowledged
		acked.add(out, "ack")
		if strings.Contains(out, "wrong") || t.Failed() {
			t.Fatalf("the program says:\n%s", out)
		}
	}
	t.Logf("after %d kills: %v", *kills, acked)
	end := vm.Run(t, vm.Options{Flags: flags, Target: work, Args: []string{"check", "/data"}, Timeout: timeout})
	got := states{}
	got.add(end.Stdout, "state")
	got.wantNotOlder(t, acked)
	if end.Status != 0 || len(got) < 2 {
		t.Errorf("at the end: %+v", end)
	}
	disks.Run(t, "e2fsck", "-fn", name)
}

// killed runs the program and, after it has checked the existing state and a delay, kills the VMM.
func killed(t *testing.T, flags []string, after time.Duration) string {
	m := vm.Start(t, vm.Options{Flags: flags, Target: work, Args: []string{"run", "/data", "1000000"}, Timeout: timeout})
	for _, name := range []string{"bolt", "files", "sqlite-journal", "sqlite-wal"} {
		m.WaitFor("state " + name + " ")
	}
	time.Sleep(after)
	m.Kill()
	// The last line may be cut.
	out := m.Stdout()
	return out[:strings.LastIndexByte(out, '\n')+1]
}
