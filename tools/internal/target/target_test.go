package target

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"main.go", "img.elf", "prog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, tt := range []struct {
		in   string
		want Target
	}{
		{"./app", Target{Kind: Package, Name: "app", Dir: app, Arg: "."}},
		{"app", Target{Kind: Package, Name: "app", Dir: app, Arg: "."}},
		{app + "/", Target{Kind: Package, Name: "app", Dir: app, Arg: "."}},
		{".", Target{Kind: Package, Name: filepath.Base(dir), Dir: dir, Arg: "."}},
		{"main.go", Target{Kind: Package, Name: "main", Arg: "main.go"}},
		{"example.com/m/cmd/x", Target{Kind: Package, Name: "x", Arg: "example.com/m/cmd/x"}},
		{"example.com/m/v2", Target{Kind: Package, Name: "m", Arg: "example.com/m/v2"}},
		{"example.com/m/v2@v2.0.1", Target{Kind: Module, Name: "m", Arg: "example.com/m/v2@v2.0.1"}},
		{"example.com/m/cmd/y@latest", Target{Kind: Module, Name: "y", Arg: "example.com/m/cmd/y@latest"}},
		{"./img.elf", Target{Kind: ELF, Name: "img", Arg: "./img.elf"}},
		{"prog", Target{Kind: ELF, Name: "prog", Arg: "prog"}},
	} {
		tt.want.Text = tt.in
		got, err := Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "./none", "none.elf", "../none.go", "/none@v1", "@v1", "x@"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v; want an error", in, got)
		}
	}
}

// image is the smallest ELF with a PVH note.
var image = func() string {
	b, _ := hex.DecodeString("7f454c46020101000000000000000000" + "02003e0001000000" + "0000000000000000" +
		"4000000000000000" + "0000000000000000" + "00000000" + "4000" + "3800" + "0100" + "0000" + "0000" + "0000" +
		"04000000" + "00000000" + "7800000000000000" + "0000000000000000" + "0000000000000000" +
		"1400000000000000" + "1400000000000000" + "0400000000000000" +
		"04000000" + "04000000" + "12000000" + "58656e00" + "00001000")
	return string(b)
}()

// fakeGo makes a Builder whose go command is a shell script. In the script, $out is the value of -o
// and $IMAGE a file that boots.
func fakeGo(t *testing.T, script string) *Builder {
	t.Helper()
	root := t.TempDir()
	bin := filepath.Join(root, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(root, "image")
	if err := os.WriteFile(img, []byte(image), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `#!/bin/sh
IMAGE=` + img + `
out=
prev=
for a; do [ "$prev" = -o ] && out=$a; prev=$a; done
` + script
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Builder{GOROOT: root, GOCACHE: "/gocache", Cache: filepath.Join(t.TempDir(), "images"), Stderr: io.Discard}
}

func parse(t *testing.T, s string) Target {
	t.Helper()
	tg, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

// Tags are added to those of the flags, or else to those of GOFLAGS.
func TestTags(t *testing.T) {
	b := fakeGo(t, `[ "$1 $2" = "env GOFLAGS" ] && echo "-trimpath '-tags=p,q' -v"`)
	b.Tags = []string{"disk"}
	for flags, want := range map[string]string{
		"": "-tags=p,q,disk", "-v": "-v -tags=p,q,disk", "-tags=x -tags=y,z -v": "-tags=x -tags=y,z -v -tags=y,z,disk", "-tags=": "-tags= -tags=disk",
	} {
		b.Flags = strings.Fields(flags)
		if got, err := b.buildFlags(context.Background(), t.TempDir()); err != nil || strings.Join(got, " ") != want {
			t.Errorf("flags %q: %q, %v; want %q", flags, got, err, want)
		}
	}
	b.Tags = nil
	if got, err := b.buildFlags(context.Background(), "/none"); err != nil || !slices.Equal(got, b.Flags) {
		t.Errorf("without tags: %q, %v", got, err)
	}
}

func TestImageOfPackage(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	b := fakeGo(t, `echo "$PWD $GOOS $GOARCH $CGO_ENABLED $GOTOOLCHAIN $GOCACHE $*" >`+log+`; cp $IMAGE $out`)
	b.Flags = []string{"-tags=x"}
	im, err := b.Image(context.Background(), parse(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(im.Path) != filepath.Base(dir) || im.Entry != 0x100000 {
		t.Errorf("image %+v; want the folder's name and the note's entry", im)
	}
	got, _ := os.ReadFile(log)
	want := dir + " tamago amd64 0 local /gocache build -v -tags=x -o " + im.Path + " .\n"
	if string(got) != want {
		t.Errorf("go ran as %q; want %q", got, want)
	}
	again, err := b.Image(context.Background(), parse(t, dir))
	if err != nil || again.Path != im.Path {
		t.Errorf("second build: %v, %v; want the same path, so that linking is skipped", again, err)
	}
}

func TestImageOfModule(t *testing.T) {
	b := fakeGo(t, `
case $1 in
env) echo /real/modcache ;;
install) [ "$GOMODCACHE" = /real/modcache ] && [ "$PWD" = "$GOPATH" ] || exit 9
	mkdir -p $GOPATH/bin/tamago_amd64; cp $IMAGE $GOPATH/bin/tamago_amd64/m ;;
esac`)
	im, err := b.Image(context.Background(), parse(t, "example.com/m/v2@v2.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(im.Path) != "m" {
		t.Errorf("image %s; want the command m", im.Path)
	}
	out := filepath.Join(t.TempDir(), "out.elf")
	if _, err := b.BuildTo(context.Background(), parse(t, "example.com/m/v2@v2.0.1"), out); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(out); string(got) != image {
		t.Error("yolk build -o wrote something else than the image")
	}
}

// The folder of a package decides which toolchain builds it.
func TestToolchainOfFolder(t *testing.T) {
	dir := t.TempDir()
	b := fakeGo(t, `cp $IMAGE $out`)
	root := b.GOROOT
	b.GOROOT = "/none"
	b.Toolchain = func(_ context.Context, in string) (string, string, error) {
		if in != dir {
			t.Errorf("the toolchain for %q was asked for; want %q", in, dir)
		}
		return root, "/gocache", nil
	}
	if _, err := b.Image(context.Background(), parse(t, dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.BuildTo(context.Background(), parse(t, dir), filepath.Join(t.TempDir(), "o")); err != nil {
		t.Fatal(err)
	}
}

// A published program that asks for a newer Go is built with it at the second try.
func TestModuleWantsNewerGo(t *testing.T) {
	b := fakeGo(t, `
case $1 in
env) echo /modcache ;;
install) [ $GOCACHE = /newer ] || { echo 'go: m@v1 requires go >= 1.27.2 (running go 1.26.8; GOTOOLCHAIN=local)' >&2; exit 1; }
	mkdir -p $GOPATH/bin/tamago_amd64; cp $IMAGE $GOPATH/bin/tamago_amd64/m ;;
esac`)
	root, asked := b.GOROOT, []string{}
	b.Toolchain = func(_ context.Context, dir string) (string, string, error) {
		text, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
		asked = append(asked, string(text))
		if strings.Contains(string(text), "go 1.27.2\n") {
			return root, "/newer", nil
		}
		return root, "/older", nil
	}
	if _, err := b.Image(context.Background(), parse(t, "example.com/m@v1")); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0] != "" {
		t.Errorf("toolchains were asked for with the go.mod %q; want none, then one", asked)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ script, want string }{
		"no program": {`echo '!<arch>' >$out; echo >>$out`, "name a package main"},
		"nothing":    {`exit 0`, "is not a program"},
		"syntax":     {`echo 'main.go:3: syntax error' >&2; exit 1`, "does not build"},
		"cgo excluded": {`[ $1 = list ] && { echo example.com/gl=/mod/gl; exit; }
echo 'build constraints exclude all Go files in /mod/gl' >&2; exit 1`, "needs cgo (example.com/gl)"},
		"cgo undefined": {`[ $1 = list ] && { echo example.com/sq=/mod/sq; exit; }
printf '# example.com/sq\nsq.go:9: undefined: cCall\n' >&2; exit 1`, "needs cgo (example.com/sq)"},
		"undefined without cgo": {`[ $1 = list ] && { echo example.com/sq=/mod/sq; exit; }
printf '# example.com/app\nmain.go:9: undefined: foo\n' >&2; exit 1`, "does not build"},
		"newer Go":  {`echo 'go: go.mod requires go >= 1.99 (running go 1.26.8)' >&2; exit 1`, "newer Go"},
		"no module": {`echo 'go: go.mod file not found in current directory' >&2; exit 1`, "not inside a module"},
	} {
		_, err := fakeGo(t, tt.script).Image(context.Background(), parse(t, dir))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v; want one line with %q", name, err, tt.want)
		}
	}
}

func TestBuildErrorKeepsOutput(t *testing.T) {
	b := fakeGo(t, `echo 'go: downloading x v1.0.0' >&2; echo net/http >&2; printf 'main.go:3: boom' >&2; exit 1`)
	_, err := b.Image(context.Background(), parse(t, t.TempDir()))
	var e *BuildError
	if !errors.As(err, &e) || e.Output != "main.go:3: boom" {
		t.Errorf("error %#v; want the compiler's words kept", err)
	}
}

// A build tells that it downloads, how many packages are compiled, and of how many once they have been counted.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p := &progress{step: ui.Begin(&out, "compiling ./app")}
		fmt.Fprintln(p, "go: downloading example.com/m v1.2.0")
		time.Sleep(3 * time.Second)
		for _, part := range []string{"err", "ors\nnet/", "http\n", "# net/http\na.go:1: x\n"} {
			fmt.Fprint(p, part)
		}
		time.Sleep(time.Minute)
		p.all = 4
		fmt.Fprintln(p, "example.com/m/v2")
		time.Sleep(time.Minute)
		p.step.End()
		if got, want := p.output(), "# net/http\na.go:1: x\n"; got != want {
			t.Errorf("kept %q; want %q", got, want)
		}
	})
	if got, want := out.String(), "yolk: compiling ./app: downloading modules ...\nyolk: compiling ./app: 2 packages ...\nyolk: compiling ./app: 3 of 4 packages ...\n"; got != want {
		t.Errorf("printed %q; want %q", got, want)
	}
}

func TestInterruptedBuild(t *testing.T) {
	b := fakeGo(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := b.Image(ctx, parse(t, t.TempDir()))
	if err == nil || !strings.Contains(err.Error(), "interrupted") || time.Since(start) > 30*time.Second {
		t.Errorf("error %v after %v; want an interruption at once", err, time.Since(start))
	}
}

func TestOldImagesGo(t *testing.T) {
	b := fakeGo(t, `cp $IMAGE $out`)
	old, recent := filepath.Join(b.Cache, "old"), filepath.Join(b.Cache, "recent")
	for _, d := range []string{old, recent} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * keepImages)
	os.Chtimes(old, long, long)
	if _, err := b.Image(context.Background(), parse(t, t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("an image unused for two weeks is still there")
	}
	if _, err := os.Stat(recent); err != nil {
		t.Error("a recent image is gone")
	}
}

func TestEnviron(t *testing.T) {
	got := Environ([]string{"PATH=/bin", "GOROOT=/x", "GOOS=windows", "GOCACHE=/y", "A=b", "GOFLAGS=-v"}, "/go", "/c")
	want := []string{"A=b", "GOFLAGS=-v", "PATH=/go/bin:/bin", "GOTOOLCHAIN=local", "GOROOT=/go", "GOCACHE=/c"}
	if !slices.Equal(got, want) {
		t.Errorf("Environ = %q; want %q", got, want)
	}
}

func TestCutFlag(t *testing.T) {
	for _, tt := range []struct {
		args []string
		flag string
		n    int
	}{
		{[]string{"-tags", "a,b", "."}, "-tags=a,b", 2},
		{[]string{"--ldflags=-s -w", "."}, "-ldflags=-s -w", 1},
		{[]string{"-trimpath", "."}, "-trimpath", 1},
		{[]string{"-buildvcs=false"}, "-buildvcs=false", 1},
		{[]string{"-nope"}, "", 0},
		{[]string{"./app"}, "", 0},
		{nil, "", 0},
	} {
		f, n, ok, err := CutFlag(tt.args)
		if f != tt.flag || n != tt.n || ok != (tt.n > 0) || err != nil {
			t.Errorf("CutFlag(%q) = %q, %d, %v, %v; want %q, %d", tt.args, f, n, ok, err, tt.flag, tt.n)
		}
	}
	if _, _, _, err := CutFlag([]string{"-tags"}); err == nil {
		t.Error("-tags without a value is accepted")
	}
}
