package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const folder = "./test/testdata/folder"

// runFolder runs one case of testdata/folder with dir at /mnt.
func runFolder(t *testing.T, flags []string, dir string, args ...string) vm.Result {
	t.Helper()
	flags = append(flags, "-v", dir+":/mnt")
	return vm.Run(t, vm.Options{Flags: flags, Target: folder, Args: append([]string{args[0], "/mnt"}, args[1:]...)})
}

// wantRight is wantOutput for a program that also prints what is wrong.
func wantRight(t *testing.T, got vm.Result, want ...string) {
	t.Helper()
	wantOutput(t, got, 0, append(want, "done\n")...)
	if strings.Contains(got.Stdout, "wrong:") {
		t.Errorf("the program says:\n%s", got.Stdout)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantEmpty checks that the program has removed its files, on the host, too.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left on the host: %v, %v", entries, err)
	}
}

// A folder of the host works as a file system, on each machine.
func TestFolderFiles(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		for _, cpus := range []string{"1", "2"} {
			t.Run(machine+"/"+cpus, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				wantRight(t, runFolder(t, []string{"-machine", machine, "-smp", cpus}, dir, "files"), "type 0x1021997\n")
				wantEmpty(t, dir)
			})
		}
	}
}

// What a folder of the host cannot do is an error, and a file without a name can still be
// read and written.
func TestFolderRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wantRight(t, runFolder(t, nil, dir, "refused"))
	wantEmpty(t, dir)
}

// Two folders, one in the other and read-only, are mounted when the program's variables are
// initialised.
func TestFolderMounts(t *testing.T) {
	t.Parallel()
	outer, inner := t.TempDir(), filepath.Join(t.TempDir(), "a,b c")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, inner, "greeting", "hello")
	os.Mkdir(filepath.Join(inner, "sub"), 0o755)
	got := vm.Run(t, vm.Options{
		Flags:  []string{"-v", outer + ":/mnt", "-v", inner + ":/mnt/x y/z:ro", "-w", "/mnt/x y/z"},
		Target: folder, Args: []string{"show", "."},
	})
	wantRight(t, got, `greeting "hello"`, "entry - greeting\nentry d sub/\n", "folder0 /mnt 9p rw,relatime 0 0\n", `folder1 /mnt/x\040y/z 9p ro,relatime 0 0`)
	got = vm.Run(t, vm.Options{Flags: []string{"-v", inner + ":/mnt:ro"}, Target: folder, Args: []string{"readonly", "/mnt"}})
	wantRight(t, got)
	if b, err := os.ReadFile(filepath.Join(inner, "greeting")); string(b) != "hello" {
		t.Errorf("the file behind a read-only folder holds %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(outer, "x y/z")); err != nil {
		t.Errorf("the place of the inner folder was not made: %v", err)
	}
}

// Each side sees the other's writes at once.
func TestFolderChangesOfTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "shared", "")
	m := vm.Start(t, vm.Options{Flags: []string{"-v", dir + ":/mnt"}, Target: folder, Args: []string{"host", "/mnt"}})
	for i, text := range []string{"zero", "one, which is longer", "2"} {
		write(t, dir, fmt.Sprint("new", i), "")
		write(t, dir, "shared", text)
		m.WaitFor(fmt.Sprintf("step %d: %q size %d open %q new true\n", i, text, len(text), text))
		for {
			if b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprint("seen", i))); string(b) == text {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestFolderManyEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wantRight(t, runFolder(t, nil, dir, "list", "5000"), "entries 5000\nentries 5000\n")
	if entries, err := os.ReadDir(dir); len(entries) != 5000 {
		t.Errorf("the host has %d entries, %v", len(entries), err)
	}
}

func TestFolderManyGoroutines(t *testing.T) {
	t.Parallel()
	for _, cpus := range []string{"1", "2"} {
		dir := t.TempDir()
		wantRight(t, runFolder(t, []string{"-smp", cpus}, dir, "parallel", "32"), "lines 640 names 321\n")
	}
}

// 200 MB are copied through a VM with less memory.
func TestFolderLargeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := make([]byte, 200_000_001)
	for i := range data {
		data[i] = byte(i>>16 ^ i*31)
	}
	if err := os.WriteFile(filepath.Join(dir, "in"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	got := vm.Run(t, vm.Options{
		Flags: []string{"-m", "128M", "-v", dir + ":/mnt"}, Target: folder, Args: []string{"copy", "/mnt/in", "/mnt/out"},
	})
	wantRight(t, got, fmt.Sprintf("copied %d sum %x\n", len(data), sha256.Sum256(data)))
	if back, err := os.ReadFile(filepath.Join(dir, "out")); !bytes.Equal(back, data) {
		t.Errorf("the host has another file of %d bytes, %v", len(back), err)
	}
}

// A folder that cannot be mounted ends the program, with the reason.
func TestFolderFails(t *testing.T) {
	t.Parallel()
	for guest, want := range map[string]string{
		"/etc/hosts": "yolk: mounting folder1 on /etc/hosts: not a directory; it must be a folder, or one that can be made there\n",
		"/mnt/none":  "yolk: mounting folder1 on /mnt/none: read-only file system; it must be a folder, or one that can be made there\n",
	} {
		got := vm.Run(t, vm.Options{
			Flags:  []string{"-v", t.TempDir() + ":/mnt:ro", "-v", t.TempDir() + ":" + guest},
			Target: folder, Args: []string{"show", "/mnt"},
		})
		if got.Stdout != "" || !strings.Contains(got.Stderr, want) || got.Status != 1 {
			t.Errorf("got %+v; want status 1 and %q", got, want)
		}
	}
}

// A word of the command line for a folder without a device ends the program, with the reason.
func TestFolderWithoutDevice(t *testing.T) {
	t.Parallel()
	line := vm.Run(t, vm.Options{Flags: []string{"-n", "-v", t.TempDir() + ":/mnt"}, Target: folder, Args: []string{"show", "/mnt"}}).Stdout
	cmd := exec.Command("timeout", "60", "sh", "-c", strings.Replace(line, "mount=folder0:/mnt", "mount=nope:/mnt", 1))
	out, _ := cmd.Output()
	want := "yolk: mounting nope on /mnt: the machine has no device of this tag; yolk run -v DIR:/mnt adds a folder"
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("got %q; want %q", out, want)
	}
}

// A program that uses no files mounts nothing, and boots all the same.
func TestFolderUnused(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Flags: []string{"-v", t.TempDir() + ":/mnt"}, Target: "./examples/hello"})
	wantOutput(t, got, 0, "hello, world")
}
