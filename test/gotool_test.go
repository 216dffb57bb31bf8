package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// copyModule copies testdata/gomod out of the repository, to a place with no go.mod above it.
func copyModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(vm.Root(t), "test/testdata/gomod"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shell runs a script as a user would, with yolk in PATH and without variables of another toolchain.
func shell(t *testing.T, dir, script string) (string, int) {
	t.Helper()
	yolk := vm.Command(t)
	cmd := exec.Command("/bin/sh", "-c", "eval \"$(yolk env)\" || exit 99\n"+script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(yolk)+":"+os.Getenv("PATH"), "YOLK_RUN_FLAGS=-accel tcg")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestPlainGoCommand(t *testing.T) {
	t.Parallel()
	dir := copyModule(t)
	out, status := shell(t, dir, "FOO=bar YOLK_ENV=FOO GOOS=tamago go run . one two")
	if status != 0 || !strings.Contains(out, "go run works [one two] bar\n") || !strings.Contains(out, "good morning\n<nil>") {
		t.Errorf("go run: status %d, %s", status, out)
	}
	out, status = shell(t, dir, "GOOS=tamago go test -v ./...")
	if status != 0 || !strings.Contains(out, "--- PASS: TestTestdata") || !strings.Contains(out, "ok  \texample.test/gomod") {
		t.Errorf("go test: status %d, %s", status, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "written.txt")); err != nil || string(b) != "x" {
		t.Errorf("a file that a test has written is %q on the host, %v", b, err)
	}
	out, status = shell(t, dir, "WANT_FAILURE=1 YOLK_ENV=WANT_* GOOS=tamago go test ./...")
	if status != 1 || !strings.Contains(out, "--- FAIL: TestWanted") || !strings.Contains(out, "FAIL\texample.test/gomod") {
		t.Errorf("failing go test: status %d, %s", status, out)
	}
	out, status = shell(t, dir, "GOOS=tamago go build -o app.elf . && yolk run -accel tcg -m 64M app.elf x")
	if status != 0 || !strings.Contains(out, "go run works [x]") {
		t.Errorf("go build: status %d, %s", status, out)
	}
}

// The patched and the stock go command do not disturb each other.
func TestStockBuildStillWorks(t *testing.T) {
	t.Parallel()
	dir := copyModule(t)
	out, status := shell(t, dir, "go run . native && go vet ./... && GOOS=tamago go vet ./...")
	if status != 0 || !strings.Contains(out, "go run works [native]") {
		t.Errorf("status %d, %s", status, out)
	}
}

func TestYolkTest(t *testing.T) {
	t.Parallel()
	got := vm.Yolk(t, vm.Options{Dir: copyModule(t)}, "test", "-accel", "tcg", "-m", "128M", "-run", "TestDouble|TestTestdata", "-bench", ".", "-benchtime", "10x", "-v")
	wantOutput(t, got, 0, "--- PASS: TestDouble", "--- PASS: TestTestdata", "BenchmarkDouble")
}

// The files that go test writes are where they would be without a VM.
func TestYolkTestOutputs(t *testing.T) {
	t.Parallel()
	dir := copyModule(t)
	test := func(status int, args ...string) string {
		t.Helper()
		got := vm.Yolk(t, vm.Options{}, append([]string{"test", "-accel", "tcg", "-C", dir}, args...)...)
		if got.Status != status {
			t.Fatalf("yolk test %q: %+v; want status %d", args, got, status)
		}
		return got.Stdout
	}
	profile := func(name, prefix string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(b), prefix) {
			t.Errorf("%s: %q, %v; want %q first", name, b[:min(len(b), 40)], err, prefix)
		}
	}

	out := test(0, "-json", "-coverprofile", "cover.out", "./...")
	for _, want := range []string{
		`"Action":"pass","Package":"example.test/gomod/inner","Test":"TestGolden"`, `"Action":"pass","Package":"example.test/gomod","Test":"TestDouble"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("-json lacks %s:\n%s", want, out)
		}
	}
	profile("cover.out", "mode: set\nexample.test/gomod/") // packages come in any order

	if err := os.Remove(filepath.Join(dir, "inner/testdata/golden.txt")); err != nil {
		t.Fatal(err)
	}
	test(1, "./inner")
	test(0, "./inner", "-update")
	profile("inner/testdata/golden.txt", "good morning, you\n")

	test(0, "-run", "-", "-bench", "Double", "-benchtime", "100x", "-cpuprofile", "cpu.out", "-memprofile", "mem.out", "-trace", "trace.out", ".")
	profile("cpu.out", "\x1f\x8b") // gzip
	profile("mem.out", "\x1f\x8b")
	profile("trace.out", "go 1.")
}

func TestMistakesInPrograms(t *testing.T) {
	t.Parallel()
	module := func(files map[string]string) string {
		dir := t.TempDir()
		files["go.mod"] = "module example.test/m\n\ngo 1.26.0\n"
		for name, text := range files {
			path := filepath.Join(dir, name)
			os.MkdirAll(filepath.Dir(path), 0o755)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const c = "package c\n\nimport \"C\"\n\nfunc F() {}\n"
	for name, tt := range map[string]struct {
		files  map[string]string
		target string
		want   string
	}{
		"cgo":         {map[string]string{"main.go": "package main\n\nimport \"example.test/m/c\"\n\nfunc main() { c.F() }\n", "c/c.go": c}, ".", "needs cgo (example.test/m/c)"},
		"own cgo":     {map[string]string{"main.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"}, ".", "needs cgo (example.test/m)"},
		"syntax":      {map[string]string{"main.go": "package main\n\nfunc main() { x }\n"}, ".", "undefined: x"},
		"library":     {map[string]string{"lib.go": "package lib\n\nfunc F() {}\n"}, ".", "package main"},
		"no Go files": {map[string]string{"x.txt": "x"}, ".", "no program here"},
		"no package":  {map[string]string{"main.go": "package main\n\nfunc main() {}\n"}, "example.test/other", "no such package"},
	} {
		got := vm.Run(t, vm.Options{Dir: module(tt.files), Target: tt.target})
		last := got.Stderr[strings.LastIndex(strings.TrimSuffix(got.Stderr, "\n"), "\n")+1:]
		if got.Status != 1 || !strings.Contains(got.Stderr, tt.want) || !strings.HasPrefix(last, "yolk: ") {
			t.Errorf("%s: %+v; want status 1, %q and a last line of yolk's", name, got, tt.want)
		}
	}
}

func TestLinuxBinaryIsRefused(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got := vm.Run(t, vm.Options{Target: self})
	if got.Status != 1 || !strings.Contains(got.Stderr, "built for linux/amd64; build it with yolk build") {
		t.Errorf("got %+v", got)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	got := vm.Yolk(t, vm.Options{}, "doctor", prog)
	wantOutput(t, got, 0, "QEMU", "cache in", "builds: ", "may start processes")
}
