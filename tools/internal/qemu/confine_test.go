package qemu

import (
	"bufio"
	"encoding/hex"
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

	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

// status returns a field of /proc/PID/status.
func status(t *testing.T, pid int, field string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	t.Fatalf("no %s in %s", field, text)
	return ""
}

// confined starts a guest that waits, confined as far as this host allows.
func confined(t *testing.T, change func(*Config)) (*VM, string) {
	t.Helper()
	var code tinyguest.Code
	c := real(t, "microvm", code.Print("up").Echo().Echo())
	os.Chmod(filepath.Dir(c.Kernel), 0o755)
	if change != nil {
		change(&c)
	}
	var notes strings.Builder
	c.Confine(&notes)
	pr, _ := io.Pipe()
	var out buffer
	vm, err := Start(c, Console{In: pr, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Kill(); vm.Wait() })
	out.waitFor(t, "up")
	return vm, notes.String()
}

// QEMU filters its system calls, and root's is nobody once it runs.
func TestRealConfinement(t *testing.T) {
	vm, notes := confined(t, nil)
	pid := vm.cmd.Process.Pid
	if notes != "" {
		t.Errorf("notes %q; want none", notes)
	}
	if got := status(t, pid, "Seccomp"); got != "2" {
		t.Errorf("Seccomp %s; want 2, a filter", got)
	}
	if got := status(t, pid, "NoNewPrivs"); got != "1" {
		t.Errorf("NoNewPrivs %s; want 1", got)
	}
	if os.Geteuid() != 0 {
		return
	}
	if uid := status(t, pid, "Uid"); !strings.HasPrefix(uid, "65534 65534 65534 ") {
		t.Errorf("Uid %s; want nobody's", uid)
	}
	if capabilities := status(t, pid, "CapEff"); strings.Trim(capabilities, "0") != "" {
		t.Errorf("CapEff %s; want none", capabilities)
	}
}

// With a folder QEMU stays root, and yolk says so.
func TestRealConfinementWithFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has rights to give up")
	}
	dir := t.TempDir()
	vm, notes := confined(t, func(c *Config) { c.Folders = []Folder{{Host: dir, Guest: "/data"}} })
	if !strings.Contains(notes, "QEMU keeps the rights of root, which the files of -v "+dir+":/data may need") {
		t.Errorf("notes %q; want the rights that QEMU keeps", notes)
	}
	if uid := status(t, vm.cmd.Process.Pid, "Uid"); !strings.HasPrefix(uid, "0 ") {
		t.Errorf("Uid %s; want root's", uid)
	}
}

// packet frames a packet of gdb's remote protocol (gdb manual, "Overview" of appendix E).
func packet(data string) string {
	sum := byte(0)
	for i := range len(data) {
		sum += data[i]
	}
	return fmt.Sprintf("$%s#%02x", data, sum)
}

// Through the debugger's port a command of QEMU's monitor starts no program on the host.
func TestRealDebuggerStartsNoProgram(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o777)
	os.Chmod(filepath.Dir(dir), 0o755)
	proof := filepath.Join(dir, "escaped")
	vm, _ := confined(t, func(c *Config) {
		c.GDB, _ = ParseDebugger(":0")
		if err := c.GDB.Pick(); err != nil {
			t.Fatal(err)
		}
	})
	conn, err := net.DialTimeout("tcp", vm.cfg.GDB.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	command := "migrate \"exec:cat >/dev/null; touch " + proof + "\"\n"
	io.WriteString(conn, "+"+packet("?")+packet("qRcmd,"+hex.EncodeToString([]byte(command))))
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, _ := io.ReadAll(bufio.NewReader(conn)) // until the deadline, or QEMU's end
	time.AfterFunc(5*time.Second, vm.end)
	vm.Wait() // the filter ends QEMU, or the deadline does
	if e := (*exec.ExitError)(nil); !errors.As(vm.err, &e) || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
		t.Errorf("gdb's stub says %q, and QEMU ends with %v; want the signal of its filter", answer, vm.err)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Error("a command of the debugger started a program on the host")
	}
}

// QEMU ends with yolk, however that ends, also as another user.
func TestRealLifeline(t *testing.T) {
	if os.Getenv("QEMU_TEST_LIFELINE") != "" {
		vm, _ := confined(t, nil)
		fmt.Printf("pid %d\n", vm.cmd.Process.Pid)
		select {}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestRealLifeline$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), "QEMU_TEST_LIFELINE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, lines := 0, bufio.NewScanner(out)
	for pid == 0 && lines.Scan() {
		fmt.Sscanf(lines.Text(), "pid %d", &pid)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if pid == 0 {
		t.Skip("no QEMU")
	}
	for range 500 {
		if syscall.Kill(pid, 0) == syscall.ESRCH || status(t, pid, "State") == "Z (zombie)" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Error("QEMU goes on without yolk")
}

// QEMU may have ended before it gets its lifeline, for a reason that is told elsewhere.
func TestLifelineOfTheDead(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := lifeline(r, cmd.Process.Pid); err != nil {
		t.Errorf("lifeline of a process that has ended: %v", err)
	}
}
