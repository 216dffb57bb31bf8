package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

func TestChoose(t *testing.T) {
	list := []qemu.Running{{PID: 10, Name: "web"}, {PID: 11, Name: "web"}, {PID: 12, Name: "db"}}
	for _, c := range []struct {
		list []qemu.Running
		name []string
		pid  int
		err  string
	}{
		{list, []string{"db"}, 12, ""},
		{list, []string{"11"}, 11, ""},
		{list[:1], nil, 10, ""},
		{list, []string{"web"}, 0, "several"},
		{list, nil, 0, "several"},
		{list, []string{"x"}, 0, "no VM x runs"},
		{nil, nil, 0, "no VM runs"},
	} {
		got, err := choose(c.list, c.name)
		if got.PID != c.pid || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("choose(%d VMs, %q) = %d, %v; want %d, %q", len(c.list), c.name, got.PID, err, c.pid, c.err)
		}
	}
}

func TestPrintRunning(t *testing.T) {
	var b bytes.Buffer
	start := time.Unix(1000, 0)
	printRunning(&b, []qemu.Running{{PID: 7, Name: "web", Image: "/a.elf", Started: start}}, start.Add(90*time.Second))
	if f := strings.Fields(b.String()); len(f) != 8 || f[4] != "7" || f[5] != "web" || f[6] != "1m30s" || f[7] != "/a.elf" {
		t.Errorf("%q; want a table of one", b.String())
	}
}

func TestDumpUsage(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if got := yolk(t, "dump"); got.status != 0 || got.out != "no VM runs\n" {
		t.Errorf("yolk dump: %+v", got)
	}
	if got := yolk(t, "dump", "a", "b", "c"); got.status != exitUsage {
		t.Errorf("three arguments: %+v", got)
	}
	if got := yolk(t, "dump", "core"); got.status != exitFailure || !strings.Contains(got.err, "no VM runs") {
		t.Errorf("no VM: %+v", got)
	}
	_, withdraw, err := qemu.Announce(qemu.Running{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	if got := yolk(t, "dump", "web"); got.status != exitUsage || !strings.Contains(got.err, "name a file") {
		t.Errorf("without a file: %+v", got)
	}
}

func TestCoreFlag(t *testing.T) {
	fakeQEMU(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var code tinyguest.Code
	app := guest(t, &code)
	if got := yolk(t, "run", "-core", filepath.Join(t.TempDir(), "none", "core"), app); got.status != exitUsage || !strings.Contains(got.err, "make it first") {
		t.Errorf("a folder that does not exist: %+v", got)
	}
	// This image has no debugging information: that is reported now, not at the crash.
	if got := yolk(t, "run", "-accel=tcg", "-core", "core", app); got.status != exitFailure || !strings.Contains(got.err, "-ldflags") {
		t.Errorf("a stripped image: %+v", got)
	}
	v := newVMFlags()
	v.core = "core"
	if line := v.bootLine("app", nil, false); line != "arg0=app env.GOTRACEBACK=crash" {
		t.Errorf("boot line %q; want GOTRACEBACK", line)
	}
	v.env = []string{"GOTRACEBACK=all"}
	if line := v.bootLine("app", nil, false); line != "arg0=app env.GOTRACEBACK=all" {
		t.Errorf("boot line %q; want the user's GOTRACEBACK", line)
	}
}

func TestGDBCommand(t *testing.T) {
	image := filepath.Join(t.TempDir(), "app.elf")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", image, "../../examples/hello").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	src := findSources(t.Context())
	if src.goroot == "" || len(src.modules) != 1 {
		t.Fatalf("sources %+v; want a GOROOT and this module", src)
	}
	for addr, want := range map[string]string{
		"127.0.0.1:1234": "target remote 127.0.0.1:1234",
		"/tmp/s":         "target remote /tmp/s",
	} {
		got := gdbCommand(image, addr, src)
		for _, w := range []string{"-ex '" + want + "'", "-iex 'directory " + src.goroot + "/src:" + src.modcache + "'",
			"-iex 'set substitute-path github.com/yolk-unikernel/yolk " + src.modules[0][1] + "'"} {
			if !strings.HasPrefix(got, "gdb ") || !strings.Contains(got, w) || !strings.HasSuffix(got, " "+image) {
				t.Errorf("gdbCommand(%s) = %s; want %s", addr, got, w)
			}
		}
	}
	if got := gdbCommand("/nowhere", "/s", src); got != "gdb -ex 'target remote /s' /nowhere" {
		t.Errorf("without an image: %s", got)
	}
}
