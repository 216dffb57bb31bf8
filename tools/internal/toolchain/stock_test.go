package toolchain

import (
	"context"
	"errors"
	goversion "go/version"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo puts a script in PATH as the go command, and returns the GOROOT around it.
func fakeGo(t *testing.T, script string) (goroot string) {
	t.Helper()
	goroot = t.TempDir()
	if err := os.Mkdir(filepath.Join(goroot, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(goroot, "bin/go"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(goroot, "bin")+":"+os.Getenv("PATH"))
	return goroot
}

// answer is a script that prints what go env prints for a distribution of a version.
func answer(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte(version+"\ntime 2026-01-01\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return "echo " + dir
}

func TestSelectAsksInTheModulesFolder(t *testing.T) {
	dir := t.TempDir()
	fakeGo(t, `[ "$(pwd -P)" = "$(cd `+dir+` && pwd -P)" ] || exit 3
[ "$GOTOOLCHAIN" = go1.27.4 ] || exit 4
[ "$GOPROXY" != off ] || { echo 'go: downloading go1.27.4 (linux/amd64)' >&2; exit 1; }
echo 'go: downloading go1.27.4 (linux/amd64)' >&2
`+answer(t, "go1.27.4"))
	t.Setenv("GOTOOLCHAIN", "go1.27.4")
	var progress strings.Builder
	_, version, err := Select(context.Background(), dir, &progress)
	if version != "go1.27.4" || err != nil {
		t.Errorf("Select = %q, %v", version, err)
	}
	if progress.String() != "go: downloading go1.27.4 (linux/amd64)\n" {
		t.Errorf("progress %q; want that it downloads", progress.String())
	}
}

func TestSelectErrors(t *testing.T) {
	fakeGo(t, answer(t, "go1.25.1"))
	if _, _, err := Select(context.Background(), "", nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("go1.25.1: %v; want %v", err, ErrUnsupported)
	}
	// It is refused before it is downloaded.
	fakeGo(t, `[ "$GOPROXY" = off ] || touch "$0.asked"
echo 'go: downloading go1.99.0 (linux/amd64)' >&2
echo 'go: no such toolchain' >&2; exit 1`)
	if _, _, err := Select(context.Background(), "", nil); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), " go1.99.0:") {
		t.Errorf("go1.99.0: %v; want %v", err, ErrUnsupported)
	}
	path, _ := exec.LookPath("go")
	if _, err := os.Stat(path + ".asked"); err == nil {
		t.Error("go1.99.0 was asked for with the network")
	}
	fakeGo(t, "echo 'go: downloading go1.27.1' >&2; echo 'go: no such toolchain' >&2; exit 1")
	if _, _, err := Select(context.Background(), "", nil); err == nil || !strings.HasSuffix(err.Error(), ": go: no such toolchain") {
		t.Errorf("error %v; want what the go command said, on one line", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := Select(context.Background(), "", nil); err == nil || !strings.Contains(err.Error(), "install Go 1.26 or 1.27") {
		t.Errorf("error %v; want what to install", err)
	}
}

// After yolk env, the patched go command is first in PATH and GOTOOLCHAIN is local because of it.
// Select asks the stock one, as if yolk env had not been used.
func TestSelectLooksBehindThePatched(t *testing.T) {
	stock := fakeGo(t, `[ -z "$GOTOOLCHAIN$GOROOT" ] || exit 3
`+answer(t, "go1.27.0"))
	patched := fakeGo(t, "exit 4")
	if err := os.WriteFile(filepath.Join(patched, doneFile), []byte(stock+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOTOOLCHAIN", "local")
	t.Setenv("GOROOT", patched)
	if _, version, err := Select(context.Background(), "", nil); version != "go1.27.0" || err != nil {
		t.Errorf("Select = %q, %v", version, err)
	}
}

// The real go command: a module's toolchain line decides, if GOTOOLCHAIN allows it.
func TestSelectRealModule(t *testing.T) {
	t.Setenv("GOTOOLCHAIN", "local")
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n\n"+text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("go 1.21\n")
	_, version, err := Select(context.Background(), dir, nil)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || goversion.Compare(version, "go1.26") < 0 {
		t.Fatalf("Select = %q, %v", version, err)
	}
	// Another release, if the module cache has one.
	t.Setenv("GOTOOLCHAIN", "auto")
	t.Setenv("GOPROXY", "off")
	write("go 1.99.0\n")
	if _, _, err := Select(context.Background(), dir, nil); err == nil || !strings.Contains(err.Error(), "go1.99.0") {
		t.Errorf("error %v; want what the module asks for", err)
	}
	cached, _ := filepath.Glob(filepath.Join(output(t, os.TempDir(), "env", "GOMODCACHE"), "cache/download/golang.org/toolchain/@v/v0.0.1-go1.27.*.linux-amd64.zip"))
	if len(cached) == 0 {
		t.Log("no Go 1.27 in the module cache to choose")
		return
	}
	want, _, _ := strings.Cut(filepath.Base(cached[0]), ".linux")
	want = strings.TrimPrefix(want, "v0.0.1-")
	write("go 1.26\n\ntoolchain " + want + "\n")
	if _, version, err := Select(context.Background(), dir, nil); version != want || err != nil {
		t.Errorf("Select = %q, %v; want %s", version, err, want)
	}
}

// If a patch release is older than the module's libraries require, another one lists them.
func TestListGo(t *testing.T) {
	need, err := moduleGo()
	if err != nil || !goversion.IsValid(need) {
		t.Fatalf("moduleGo = %q, %v", need, err)
	}
	other := fakeGo(t, "exit 0")
	for version, want := range map[string]string{
		"go1.26.0": filepath.Join(other, "bin/go"), need: "/stock/bin/go", "go1.27.0": "/stock/bin/go",
	} {
		b := &builder{ctx: context.Background(), stock: "/stock", version: version, source: "/src"}
		cmd, err := b.listGo("list")
		if err != nil || cmd.Path != want || cmd.Dir != "/src" {
			t.Errorf("%s: %v in %s, %v; want %s", version, cmd, cmd.Dir, err, want)
		}
	}
}
