package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const sigcalls = "./test/testdata/sigcalls"

// onLinux builds a program for this machine, runs it, and returns what it prints.
func onLinux(t *testing.T, target string, args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "prog")
	build := exec.Command("go", "build", "-o", bin, target)
	build.Dir = vm.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", target, args, err, out)
	}
	return string(out)
}

// The calls about signals, timers and the ends of threads have the same results as on Linux.
func TestSignalCalls(t *testing.T) {
	vm.Command(t) // otherwise the test is skipped
	want := onLinux(t, sigcalls)
	if !strings.HasSuffix(want, "\ndone\n") {
		t.Fatalf("on Linux the program prints\n%s", want)
	}
	for _, cpus := range []string{"1", "3"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			got := vm.Run(t, vm.Options{Flags: []string{"-smp", cpus}, Target: sigcalls})
			compareLines(t, got.Stdout, want)
		})
	}
}

// compareLines reports lines that differ, with the heading above them.
func compareLines(t *testing.T, got, want string) {
	t.Helper()
	heading := ""
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if !strings.HasPrefix(b, " ") {
			heading = b
		}
		if a != b {
			t.Errorf("%s:\n%q; want\n%q", heading, a, b)
		}
	}
}

// A clock that the program has set stays set, although the machine also reads its real-time clock,
// and moves the timers that use it.
func TestSetClock(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: sigcalls, Args: []string{"clock"}})
	const want = `  zero: 0
  timerfd: 0
  read: resource temporarily unavailable
  set: 0
  set: true 2031
  monotonic: true
  absolute timer: true
  relative timer: true
  timerfd: operation canceled
  timerfd: resource temporarily unavailable
  stays: true
  settimeofday: 0
  absolute timer: {{0 0} {0 0}}
  day: 8
  before boot: invalid argument
`
	compareLines(t, got.Stdout, want)
}
