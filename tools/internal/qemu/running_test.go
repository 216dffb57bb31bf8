package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAnnounce(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	socket, withdraw, err := Announce(Running{Name: "web", Image: "/a.elf", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	list, err := List()
	if err != nil || len(list) != 1 || list[0].Name != "web" || list[0].PID != os.Getpid() || list[0].Image != "/a.elf" {
		t.Errorf("List() = %+v, %v; want the one VM", list, err)
	}
	if got, err := list[0].Socket(); got != socket || err != nil {
		t.Errorf("its socket is %s, %v; want %s", got, err, socket)
	}
	withdraw()
	if list, err := List(); err != nil || len(list) != 0 {
		t.Errorf("List() = %+v, %v after the end; want none", list, err)
	}
}

// A yolk that was killed leaves its files, but not their lock: List removes them.
func TestListForgetsTheDead(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	dir, err := RunDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"4711.json", "4711.qmp"} {
		os.WriteFile(filepath.Join(dir, name), []byte(`{"PID": 4711}`), 0o600)
	}
	if list, err := List(); err != nil || len(list) != 0 {
		t.Errorf("List() = %+v, %v; want none", list, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func TestRunDirIsPrivate(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	if err := os.Mkdir(filepath.Join(base, "yolk"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := RunDir(); err == nil {
		t.Error("a folder that others may read is accepted")
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", base)
	if dir, err := RunDir(); err != nil || filepath.Dir(dir) != base {
		t.Errorf("RunDir() = %s, %v; want it below %s", dir, err, base)
	}
	long := filepath.Join(base, strings.Repeat("x", 100))
	os.Mkdir(long, 0o700)
	t.Setenv("XDG_RUNTIME_DIR", long)
	if _, _, err := Announce(Running{}); err == nil {
		t.Error("a path too long for a socket is accepted")
	}
}
