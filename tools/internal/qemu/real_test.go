package qemu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

// real returns a configuration that boots a tiny guest in the real QEMU.
func real(t *testing.T, machine string, code *tinyguest.Code) Config {
	t.Helper()
	if _, err := exec.LookPath(Binary); err != nil {
		t.Skip(Binary + " is not installed")
	}
	c := config(machine)
	c.Memory = MinMemory
	c.Kernel = filepath.Join(t.TempDir(), "guest")
	if err := os.WriteFile(c.Kernel, tinyguest.Image(code), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRealGuestOnEachMachine(t *testing.T) {
	for _, machine := range Machines {
		for _, status := range []int{0, 42, 255} {
			var code tinyguest.Code
			c := real(t, machine, code.Print("hello\n").Exit(status))
			f, _ := ParseForward(":80")
			if err := f.Pick(); err != nil {
				t.Fatal(err)
			}
			c.Forwards = []Forward{f}
			out, got, err := run(t, c, nil)
			if out != "hello\n" || got != status || err != nil {
				t.Errorf("%s: console %q, status %d, %v; want hello and %d", machine, out, got, err, status)
			}
		}
	}
}

func TestRealTripleFault(t *testing.T) {
	var code tinyguest.Code
	_, _, err := run(t, real(t, "microvm", code.Crash()), nil)
	if err == nil || !strings.Contains(err.Error(), "ended without an exit status") {
		t.Errorf("error %v; want the end without a status", err)
	}
}

func TestRealInput(t *testing.T) {
	var code tinyguest.Code
	c := real(t, "microvm", code.Echo().Echo().Echo().Echo().Exit(0))
	out, _, err := run(t, c, strings.NewReader("x\n"))
	if out != "x\n\x10e" || err != nil {
		t.Errorf("echo %q, %v; want the input and its end", out, err)
	}
}

func TestRealStopAndKill(t *testing.T) {
	var code tinyguest.Code
	c := real(t, "microvm", code.Print("up").Echo().Echo())
	pr, _ := io.Pipe()
	var out buffer
	vm, err := Start(c, Console{In: pr, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "up")
	vm.Stop(syscall.SIGINT)
	out.waitFor(t, "\x10i")
	vm.Kill()
	if _, err := vm.Wait(); err != ErrKilled {
		t.Errorf("Wait = %v; want ErrKilled", err)
	}
}

// A guest that reports a crash is stopped until Crashed returns, and then exits with a status.
func TestRealCrash(t *testing.T) {
	for _, machine := range Machines {
		var code tinyguest.Code
		c := real(t, machine, code.Print("up").Panic().Echo().Exit(134))
		stopped := make(chan string, 2)
		crashed := func(q *qmp.Client) {
			var s struct{ Status string }
			if err := q.Execute("query-status", nil, &s); err != nil {
				t.Error(err)
			}
			stopped <- s.Status
		}
		var out buffer
		vm, err := Start(c, Console{In: strings.NewReader("x"), Out: &out, Crashed: crashed})
		if err != nil {
			t.Fatal(err)
		}
		got, err := vm.Wait()
		if status := <-stopped; got != 134 || err != nil || status != "guest-panicked" || len(stopped) != 0 {
			t.Errorf("%s: exit status %d, %v; stopped as %q and %d times more; want 134 and guest-panicked once", machine, got, err, status, len(stopped))
		}
	}
}

// The machine has the same devices whether or not the program crashes.
func TestRealMonitors(t *testing.T) {
	var code tinyguest.Code
	c := real(t, "microvm", code.Print("up").Echo().Exit(5))
	c.Monitor = filepath.Join(t.TempDir(), "qmp")
	pr, pw := io.Pipe()
	var out buffer
	vm, err := Start(c, Console{In: pr, Out: &out, Crashed: func(*qmp.Client) { t.Error("Crashed is called") }})
	if err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "up")
	q, err := qmp.Dial(c.Monitor)
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Status string }
	if err := q.Execute("query-status", nil, &s); err != nil || s.Status != "running" {
		t.Errorf("status %+v, %v; want running", s, err)
	}
	q.Close()
	pw.Write([]byte("x"))
	if got, err := vm.Wait(); got != 5 || err != nil {
		t.Errorf("exit status %d, %v; want 5", got, err)
	}
}

// Connections that arrive while QEMU is busy wait: here QEMU is stopped.
func TestRealConnectionBurst(t *testing.T) {
	var code tinyguest.Code
	c := real(t, "microvm", code.Print("up").Echo().Echo())
	f, _ := ParseForward(":80")
	if err := f.Pick(); err != nil {
		t.Fatal(err)
	}
	c.Forwards = []Forward{f}
	pr, _ := io.Pipe()
	var out, remarks buffer
	vm, err := Start(c, Console{In: pr, Out: &out, Remarks: &remarks})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Wait()
	defer vm.Kill()
	out.waitFor(t, "up")
	if s := remarks.String(); s != "" {
		t.Skip(s) // a sandbox without pidfd_getfd
	}
	syscall.Kill(vm.cmd.Process.Pid, syscall.SIGSTOP)
	for i := range 32 {
		conn, err := net.DialTimeout("tcp", f.Host.String(), 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
	}
}

func TestRealComplaints(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	busy, _ := ParseForward(fmt.Sprintf("%d:80", port))
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"busy port":   {func(c *Config) { c.Forwards = []Forward{busy} }, fmt.Sprintf("port %d is in use; choose another with -p ", port)},
		"busy gdb":    {func(c *Config) { c.GDB, _ = ParseDebugger(fmt.Sprint(port)) }, "-gdb"},
		"bad extra":   {func(c *Config) { c.Extra = []string{"-device", "nonsense"} }, "nonsense"},
		"too much":    {func(c *Config) { c.Memory = 1 << 49 }, "-m"},
		"not a guest": {func(c *Config) { c.Kernel = "/dev/null" }, ""},
	} {
		var code tinyguest.Code
		c := real(t, "microvm", code.Exit(0))
		tt.change(&c)
		_, _, err := run(t, c, nil)
		var f *Failure
		if !errors.As(err, &f) || f.Reason == "" || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v; want one line with %q", name, err, tt.want)
		}
	}
}
