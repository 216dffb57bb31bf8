package diskimage

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A disk that is made from a folder has the folder's files, as e2fsprogs reads it.
func TestCreateFrom(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	large := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	clear(large[1<<20 : 2<<20])
	when := time.Unix(1_500_000_000, 123_456_789)
	for name, data := range map[string][]byte{"a": nil, "b": []byte("b"), "sub/deep/large": large, "holes": make([]byte, 3_000_001), "exact": large[:8192]} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("sub/deep", filepath.Join(dir, "link"))
	os.Link(filepath.Join(dir, "b"), filepath.Join(dir, "sub/b2"))
	os.Chmod(filepath.Join(dir, "a"), 0o755|os.ModeSetuid)
	syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)
	os.Chtimes(filepath.Join(dir, "b"), when, when)
	os.Chmod(dir, 0o711)
	file := filepath.Join(t.TempDir(), "disk.img")
	r, err := Create(Options{File: file, Size: 64 << 20, From: dir, Label: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files != 9 || r.Free < 30<<20 {
		t.Errorf("%+v; want 9 files and 30 MiB free", r)
	}
	var st syscall.Stat_t
	if syscall.Stat(file, &st); st.Blocks*512 > 20<<20 {
		t.Errorf("the file takes %d bytes of the host; it should be sparse", st.Blocks*512)
	}
	runTool(t, "e2fsck", "-fn", file)
	if s := runTool(t, "dumpe2fs", "-h", file); !strings.Contains(s, "Filesystem volume name:   test\n") || !strings.Contains(s, r.UUID) || strings.Contains(s, "needs_recovery") {
		t.Errorf("dumpe2fs: %s", s)
	}
	runTool(t, "debugfs", "-R", "rdump / "+out, file)
	for _, name := range []string{"a", "b", "sub/b2", "sub/deep/large", "holes", "exact"} {
		want, _ := os.ReadFile(filepath.Join(dir, name))
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	for path, want := range map[string][]string{
		"/":           {"Mode:  0711"},
		"/a":          {"Mode:  04755", "User:     0   Group:     0"},
		"/b":          {"Links: 2", "mtime: 0x59682f00:1d6f3454", "Mode:  0640"},
		"/holes":      {"Blockcount: 0", "Size: 3000001"},
		"/link":       {"Type: symlink", `Fast link dest: "sub/deep"`},
		"/pipe":       {"Type: FIFO"},
		"/sub":        {"Type: directory"},
		"/lost+found": {"Type: directory"},
	} {
		got := runTool(t, "debugfs", "-R", "stat "+path, file)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", path, w, got)
			}
		}
	}
}

func TestCreateFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "large"), bytes.Repeat([]byte{1}, 30<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "there"), nil, 0o644)
	for want, o := range map[string]Options{
		"do not fit in 20 MiB; choose more with -size": {File: "new", Size: 20 << 20, From: dir},
		"exists; -force replaces it":                   {File: "there", Size: 20 << 20},
		"too small for a journal":                      {File: "new", Size: 1 << 20},
		"is not a folder":                              {File: "new", From: filepath.Join(dir, "large")},
		"is no regular file; mkfs.ext4":                {File: ".", Force: true},
	} {
		o.File = filepath.Join(dir, o.File)
		if _, err := Create(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", o, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a disk that could not be made is there: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part-*")); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// Without a given size there is room for the files and more.
func TestCreateSize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	r, err := Create(Options{File: file})
	if err != nil || r.Size != 1<<30 || r.Free < 900<<20 || r.Files != 0 {
		t.Errorf("%+v, %v; want 1 GiB", r, err)
	}
	runTool(t, "e2fsck", "-fn", file)
	if _, err := Create(Options{File: file, Size: 32 << 20, Force: true}); err != nil {
		t.Error(err)
	}
	if info, _ := os.Stat(file); info.Size() != 32<<20 || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("replaced by %d bytes, %v", info.Size(), info.Mode())
	}
}

// runTool returns the output of a program of e2fsprogs, which must succeed. If the program is not
// installed the test is skipped.
func runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skip(name + " is not installed: apt-get install e2fsprogs")
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
