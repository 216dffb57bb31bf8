package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fake replaces QEMU by a shell script. In the script, $KERNEL and $INITRD are the values of those
// options.
func fake(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	text := `#!/bin/sh
all="$*"
while [ $# -gt 0 ]; do
	case $1 in
	-kernel) KERNEL=$2; shift ;;
	-initrd) INITRD=$2; shift ;;
	esac
	shift
done
` + script
	if err := os.WriteFile(filepath.Join(dir, Binary), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// buffer is a bytes.Buffer that the console may write while a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(b.String(), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("console %q; want %q in it", b.String(), text)
		}
	}
}

func run(t *testing.T, c Config, in io.Reader) (string, int, error) {
	t.Helper()
	var out buffer
	vm, err := Start(c, Console{In: in, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	status, err := vm.Wait()
	return out.String(), status, err
}

func TestExitStatus(t *testing.T) {
	for _, n := range []int{0, 1, 42, 127, 128, 255} {
		fake(t, fmt.Sprintf("echo hello; echo ready >/dev/fd/3; echo exit %d >/dev/fd/3; exit 1", n))
		out, status, err := run(t, config("microvm"), nil)
		if out != "hello\n" || status != n || err != nil {
			t.Errorf("exit %d: console %q, status %d, error %v", n, out, status, err)
		}
	}
}

func TestNoExitStatus(t *testing.T) {
	fake(t, "echo 'exit 256' >&3; echo exit >&3; echo boom")
	_, _, err := run(t, config("microvm"), nil)
	var f *Failure
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "ended without an exit status") {
		t.Errorf("error %v; want a Failure", err)
	}

	fake(t, `echo "qemu-system-x86_64: -kernel $KERNEL: could not load it" >&2; exit 1`)
	_, _, err = run(t, config("microvm"), nil)
	if want := "-kernel /tmp/app: could not load it"; err == nil || err.Error() != want {
		t.Errorf("error %v; want %q", err, want)
	}

	fake(t, "kill -TERM $$")
	_, _, err = run(t, config("microvm"), nil)
	if err == nil || !strings.Contains(err.Error(), "signal from outside") {
		t.Errorf("error %v; want the signal", err)
	}
}

func TestInputAndEnd(t *testing.T) {
	for _, tt := range []struct {
		terminal bool
		in, want string
	}{
		{true, "", "\x04"},
		{true, "a\n", "a\n\x04"},
		{true, "a\nbc", "a\nbc\x04\x04"},
		{true, "\x10", "\x10\x04\x04"},
		{false, "", "\x10e"},
		{false, "a\nbc", "a\nbc\x10e"},
		{false, "a\x10b\x04", "a\x10\x10b\x04\x10e"},
	} {
		fake(t, fmt.Sprintf("head -c %d; echo exit 0 >&3", len(tt.want)))
		var out buffer
		vm, err := Start(config("microvm"), Console{In: strings.NewReader(tt.in), Out: &out, Terminal: tt.terminal})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vm.Wait(); err != nil || out.String() != tt.want {
			t.Errorf("terminal %v: input %q arrived as %q, %v; want %q", tt.terminal, tt.in, out.String(), err, tt.want)
		}
	}
}

func TestSignalBytes(t *testing.T) {
	for _, tt := range []struct {
		terminal bool
		sig      syscall.Signal
		want     string
	}{
		{true, syscall.SIGINT, "\x03"},
		{true, syscall.SIGTERM, "\x03"},
		{true, syscall.SIGQUIT, "\x1c"},
		{false, syscall.SIGINT, "\x10i"},
		{false, syscall.SIGTERM, "\x10t"},
		{false, syscall.SIGHUP, "\x10t"},
		{false, syscall.SIGQUIT, "\x10q"},
	} {
		c := Console{Terminal: tt.terminal}
		if got := string(c.signal(tt.sig)); got != tt.want {
			t.Errorf("terminal %v, %v: %q; want %q", tt.terminal, tt.sig, got, tt.want)
		}
	}
}

func TestInitrdNeedsNoName(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("files")
	os.Remove(f.Name())
	fake(t, "cat $INITRD; echo exit 0 >&3")
	var out buffer
	vm, err := Start(config("microvm"), Console{Out: &out, Initrd: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Wait(); err != nil || out.String() != "files" {
		t.Errorf("initrd read as %q, %v; want %q", out.String(), err, "files")
	}
}

func TestStopThenKill(t *testing.T) {
	fake(t, "echo up; head -c 2; echo asked; sleep 60")
	pr, _ := io.Pipe()
	var out buffer
	vm, err := Start(config("microvm"), Console{In: pr, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "up")
	vm.Stop(syscall.SIGINT)
	out.waitFor(t, "asked")
	if !strings.Contains(out.String(), "\x10i") {
		t.Errorf("guest got %q; want the interrupt character", out.String())
	}
	pid := vm.cmd.Process.Pid
	vm.Kill()
	if _, err := vm.Wait(); err != ErrKilled {
		t.Errorf("Wait = %v; want ErrKilled", err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d after Kill: %v; want none", pid, err)
	}
}

// yolk ends even if a guest cannot power off its machine.
func TestHangAfterExit(t *testing.T) {
	fake(t, "echo exit 3 >&3; exec sleep 60")
	start := time.Now()
	_, status, err := run(t, config("microvm"), nil)
	if status != 3 || err != nil {
		t.Errorf("status %d, %v; want 3", status, err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(config("microvm"), Console{Out: io.Discard})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "qemu") {
		t.Errorf("error %v; want ErrNotInstalled with the package's name", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var b tail
	for i := range 1000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	if s := b.String(); len(s) != tailSize || !strings.HasSuffix(s, "line 999\n") {
		t.Errorf("%d bytes ending in %q", len(s), s[len(s)-10:])
	}
}
