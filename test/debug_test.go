package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// dlvVersion is the release of the debugger that the tests install if there is none.
const dlvVersion = "v1.27.2"

var debugger struct {
	once sync.Once
	path string
	err  error
}

// dlv returns the path of Delve.
func dlv(t *testing.T) string {
	t.Helper()
	debugger.once.Do(func() { debugger.path, debugger.err = findDlv() })
	if debugger.err != nil {
		t.Skipf("no dlv: %v", debugger.err)
	}
	return debugger.path
}

// findDlv installs Delve in the cache, so that a second run finds it.
func findDlv() (string, error) {
	if path, err := exec.LookPath("dlv"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "yolk-test", "dlv-"+dlvVersion)
	path := filepath.Join(dir, "dlv")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/go-delve/delve/cmd/dlv@"+dlvVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install: %w\n%s", err, out)
	}
	return path, nil
}

var colour = regexp.MustCompile("\x1b\\[[0-9]*m")

// debugCore runs commands of dlv on a core.
func debugCore(t *testing.T, image, core string, commands ...string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\nexit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := tool(t, dlv(t), "core", image, core, "--check-go-version=false", "--allow-non-terminal-interactive=true", "--init", script)
	return colour.ReplaceAllString(out, "")
}

// tool runs a debugger to its end.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // no settings of the user's
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func wantAll(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
}

// debugImage builds the program that is debugged.
func debugImage(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "debug.elf")
	if got := vm.Yolk(t, vm.Options{}, "build", "-o", image, "./test/testdata/debug"); got.Status != 0 {
		t.Fatal(got.Stderr)
	}
	return image
}

// startDebug boots the program and keeps its console open.
func startDebug(t *testing.T, image string, flags, env []string, arg string) (*vm.VM, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	m := vm.Start(t, vm.Options{Flags: flags, Target: image, Args: []string{arg}, Stdin: r, Env: env})
	m.WaitFor("waiting")
	return m, w
}

func TestDump(t *testing.T) {
	for _, c := range []struct {
		machine, arg string
		flags, want  []string
	}{
		{machine: "microvm", arg: "wait"},
		// Without preemption: a preempted goroutine has its registers on its stack, where Delve does
		// not look for them.
		{machine: "q35", arg: "spin", flags: []string{"-e", "GODEBUG=asyncpreemptoff=1"}, want: []string{"main.spin", `"spinner"`}},
	} {
		t.Run(c.machine, func(t *testing.T) {
			t.Parallel()
			vm.Command(t)
			dlv(t)
			image := debugImage(t)
			env := []string{"XDG_RUNTIME_DIR=" + t.TempDir()}
			m, console := startDebug(t, image, append(c.flags, "-machine", c.machine, "-smp", "2", "-name", "subject"), env, c.arg)

			if got := vm.Yolk(t, vm.Options{Env: env}, "dump"); got.Status != 0 || !strings.Contains(got.Stdout, "subject") || !strings.Contains(got.Stdout, image) {
				t.Errorf("yolk dump lists %+v; want the VM", got)
			}
			core := filepath.Join(t.TempDir(), "core")
			got := vm.Yolk(t, vm.Options{Env: env}, "dump", "subject", core)
			if got.Status != 0 || !strings.Contains(got.Stderr, "dlv core "+image) {
				t.Fatalf("yolk dump: %+v", got)
			}
			fmt.Fprintln(console, "still alive") // the guest is still running
			m.WaitFor("got still alive")

			text := debugCore(t, image, core, "goroutines", "goroutines -with userloc main.worker -exec stack -full", "goroutine 1 bt", "goroutines -with userloc main.spin -exec print j.name")
			wantAll(t, "dlv", text, "main.worker", `label = "worker-1"`, `label = "worker-3"`, "total = 3001", "main.main")
			wantAll(t, "dlv", text, c.want...)
		})
	}
}

func TestDumpWithoutVM(t *testing.T) {
	env := []string{"XDG_RUNTIME_DIR=" + t.TempDir()}
	got := vm.Yolk(t, vm.Options{Env: env}, "dump", "nobody", "core")
	if got.Status != 1 || !strings.Contains(got.Stderr, "no VM nobody runs") {
		t.Errorf("yolk dump nobody: %+v", got)
	}
}

func TestCoreOfCrash(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			vm.Command(t)
			dlv(t)
			image := debugImage(t)
			core := filepath.Join(t.TempDir(), "core")
			got := vm.Run(t, vm.Options{Flags: []string{"-machine", machine, "-smp", "2", "-core", core}, Target: image, Args: []string{"panic"}})
			wantOutput(t, got, 134, "panic: too large", "goroutine 1") // 128 + SIGABRT
			text := debugCore(t, image, core, "bt", "goroutines", "goroutines -with userloc main.worker -exec stack -full")
			wantAll(t, "dlv", text, "runtime.raise", "main.fail", "main.main", `label = "worker-2"`, "total = 2001")
		})
	}
}

// Without a crash there is no core, and without -core a crash does nothing new.
func TestNoCore(t *testing.T) {
	t.Parallel()
	image := debugImage(t)
	core := filepath.Join(t.TempDir(), "core")
	if got := vm.Run(t, vm.Options{Flags: []string{"-core", core}, Target: image, Args: []string{"exit"}}); got.Status != 3 {
		t.Errorf("got %+v; want status 3", got)
	}
	if _, err := os.Stat(core); err == nil {
		t.Error("a program that did not crash left a core")
	}
	wantOutput(t, vm.Run(t, vm.Options{Target: image, Args: []string{"panic"}}), 2, "panic: too large")
	got := vm.Run(t, vm.Options{Flags: []string{"-core", core, "-e", "GOTRACEBACK=single"}, Target: image, Args: []string{"panic"}})
	wantOutput(t, got, 2, "panic: too large")
}

// With the command line that yolk run prints, gdb shows the goroutines of a running image with the Go
// runtime's own script.
func TestGDB(t *testing.T) {
	t.Parallel()
	vm.Command(t)
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip("gdb is not installed")
	}
	image := debugImage(t)
	addr := "127.0.0.1:" + strconv.Itoa(vm.FreePort(t))
	// QEMU's -S: the machine waits for the debugger.
	m := vm.Start(t, vm.Options{Flags: []string{"-gdb", addr, "-qemu-arg", "-S"}, Target: image, Args: []string{"wait"}})
	command := ""
	m.Eventually(func() error {
		line := regexp.MustCompile(`debug with: (gdb .* -ex 'target remote \Q` + addr + `\E' \Q` + image + `\E)\n`).FindStringSubmatch(m.Stderr())
		if line == nil {
			return fmt.Errorf("yolk run -gdb says %q; want gdb's command line", m.Stderr())
		}
		command = line[1]
		return nil
	})
	command = strings.TrimSuffix(command, image) + `-nx -q -batch -ex "break main.worker" -ex continue -ex bt -ex list \
		-ex "info goroutines" -ex "goroutine 1 bt" -ex "list runtime.gopark" -ex delete -ex detach ` + image
	text := tool(t, "sh", "-c", command)
	wantAll(t, "gdb", text, "Breakpoint 1, main.worker (id=", "in main.main.gowrap1 ()", "main.main.gowrap1\n", "runtime.gopark", "in main.main ()",
		"func worker(", "func gopark(") // source lines, of the program and of the standard library
	m.WaitFor("waiting") // it continues, and ends with its input
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d after the debugger; want 0", status)
	}
}
