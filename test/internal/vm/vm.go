// Package vm boots images for tests, through the yolk command as a user would: it builds the
// command once, runs it, and gives a test the console, the exit status and the guest's ports.
// Start with [Run] and [Start].
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// defaultTimeout bounds one run with its build: TCG on a busy machine is slow, but a hang
// lasts forever.
const defaultTimeout = 5 * time.Minute

// Options describe one run.
type Options struct {
	// Flags are flags of yolk run. Emulation is the default, so that results do not depend on
	// the machine.
	Flags []string
	// Target is the program to run and Args are its arguments.
	Target string
	Args   []string
	// Stdin is the console's input; nil means that it is empty.
	Stdin io.Reader
	// Dir is the working directory of yolk, Env are additional variables for it.
	Dir string
	Env []string
	// Timeout is for programs that take longer to build; 0 means five minutes.
	Timeout time.Duration
}

// Result is the outcome of one run.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Console returns what a terminal would have shown: both of the guest's streams, and yolk's own lines.
func (r Result) Console() string { return r.Stdout + r.Stderr }

// Root returns the root of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "source.go")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside the repository")
		}
	}
}

var build struct {
	once sync.Once
	path string
	err  error
}

// Main is a TestMain: it runs the tests and removes the command that they have built.
func Main(m *testing.M) {
	status := m.Run()
	if build.path != "" {
		os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(status)
}

// Command returns the path of the yolk command, built from this checkout, with its toolchain
// ready. It skips the test with -short and if QEMU is not installed.
func Command(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("boots VMs: not with -short")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	build.once.Do(func() { build.path, build.err = buildCommand(Root(t)) })
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

func buildCommand(root string) (string, error) {
	dir, err := os.MkdirTemp("", "yolk-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "yolk")
	for _, args := range [][]string{{"go", "build", "-o", path, "./tools/yolk"}, {path, "toolchain"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return path, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return path, nil
}

// Yolk runs the yolk command to its end with any arguments.
func Yolk(t testing.TB, opt Options, args ...string) Result {
	t.Helper()
	m := start(t, opt, args)
	status := m.Wait()
	return Result{Stdout: m.Stdout(), Stderr: m.Stderr(), Status: status}
}

// Run boots a program and waits for its end.
func Run(t testing.TB, opt Options) Result {
	t.Helper()
	return Yolk(t, opt, opt.args()...)
}

func (o Options) args() []string {
	args := append([]string{"run", "-accel", "tcg"}, o.Flags...)
	return append(append(args, o.Target, "--"), o.Args...)
}

// VM is a running program.
type VM struct {
	t      testing.TB
	cmd    *exec.Cmd
	out    output
	errs   output
	done   chan struct{}
	cancel context.CancelFunc

	timeout time.Duration
}

// Start boots a program and leaves it running. The end of the test kills it.
func Start(t testing.TB, opt Options) *VM {
	t.Helper()
	return start(t, opt, opt.args())
}

func start(t testing.TB, opt Options, args []string) *VM {
	t.Helper()
	path := Command(t)
	if opt.Timeout == 0 {
		opt.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), opt.Timeout)
	m := &VM{t: t, timeout: opt.Timeout, done: make(chan struct{}), cancel: cancel}
	m.cmd = exec.CommandContext(ctx, path, args...)
	m.cmd.Dir, m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = opt.Dir, opt.Stdin, &m.out, &m.errs
	if m.cmd.Dir == "" {
		m.cmd.Dir = Root(t)
	}
	m.cmd.Env = append(os.Environ(), opt.Env...)
	m.cmd.WaitDelay = 5 * time.Second
	// A test binary that times out runs no cleanup; yolk must end with it. The signal is sent
	// when the starting thread ends, so that thread is locked.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.cmd.Wait()
			close(m.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-m.done
		if t.Failed() {
			t.Logf("yolk %s\nstandard output:\n%s\nstandard error:\n%s", strings.Join(args, " "), m.Stdout(), m.Stderr())
		}
	})
	return m
}

// Stdout returns what the guest has printed on its standard output so far.
func (m *VM) Stdout() string { return m.out.String() }

// Console returns both, as a terminal would show them: what the guest has printed on its two streams so far, and
// yolk's own lines.
func (m *VM) Console() string { return m.Stdout() + m.Stderr() }

// Stderr returns what the guest has printed on its standard error so far, and yolk.
func (m *VM) Stderr() string { return m.errs.String() }

// WaitFor waits until the guest has printed text.
func (m *VM) WaitFor(text string) {
	m.t.Helper()
	if !m.poll(func() bool { return strings.Contains(m.Console(), text) }) {
		m.t.Fatalf("the guest ended without printing %q", text)
	}
}

// Within reports an error unless the guest prints text in the next second.
func (m *VM) Within(text string) error {
	deadline := time.Now().Add(time.Second)
	m.poll(func() bool { return strings.Contains(m.Console(), text) || time.Now().After(deadline) })
	if strings.Contains(m.Console(), text) {
		return nil
	}
	return fmt.Errorf("the guest does not print %q", text)
}

// poll waits for a condition; it returns false if the guest ends first.
func (m *VM) poll(cond func() bool) bool {
	for {
		ended := false
		select {
		case <-m.done:
			ended = true
		case <-time.After(5 * time.Millisecond):
		}
		if cond() {
			return true
		}
		if ended {
			return false
		}
	}
}

var chosen = regexp.MustCompile(`yolk: (tcp|udp) port (\d+) of the guest is (\S+)\n`)

// Addr returns the host's address of a guest port that was forwarded with -p :PORT; proto is
// tcp or udp.
func (m *VM) Addr(proto string, port int) string {
	m.t.Helper()
	addr := ""
	found := m.poll(func() bool {
		for _, f := range chosen.FindAllStringSubmatch(m.Stderr(), -1) {
			if f[1] == proto && f[2] == fmt.Sprint(port) {
				addr = f[3]
			}
		}
		return addr != ""
	})
	if !found {
		m.t.Fatalf("yolk did not announce %s port %d", proto, port)
	}
	return addr
}

// Signal sends a signal to yolk.
func (m *VM) Signal(sig syscall.Signal) { m.cmd.Process.Signal(sig) }

// CPUTime returns the CPU time that the VMM has used, proc_pid_stat(5).
func (m *VM) CPUTime() time.Duration {
	m.t.Helper()
	var total time.Duration
	for _, pid := range m.VMM() {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			m.t.Fatal(err)
		}
		// The name, in parentheses, may contain spaces; utime and stime are the 12th and 13th
		// fields after it, in ticks of 1/100 s.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, ticks := range f[11:13] {
			var n int64
			fmt.Sscan(ticks, &n)
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

// PID returns the process ID of yolk.
func (m *VM) PID() string { return fmt.Sprint(m.cmd.Process.Pid) }

// VMM returns the process IDs of the VMM.
func (m *VM) VMM() (pids []string) {
	kids, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", m.cmd.Process.Pid))
	for _, k := range kids {
		list, _ := os.ReadFile(k)
		pids = append(pids, strings.Fields(string(list))...)
	}
	return pids
}

// Resident returns how much of the host's memory the VMM uses, in bytes: VmRSS of
// proc_pid_status(5).
func (m *VM) Resident() (total int64) {
	m.t.Helper()
	for _, pid := range m.VMM() {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			m.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		var kib int64
		fmt.Sscan(rest, &kib)
		total += kib << 10
	}
	return total
}

// Kill kills the VMM.
func (m *VM) Kill() {
	m.cancel()
	<-m.done
}

// Wait waits for the end and returns yolk's exit status.
func (m *VM) Wait() int {
	m.t.Helper()
	<-m.done
	if !m.cmd.ProcessState.Exited() {
		m.t.Fatalf("yolk was killed after %v", m.timeout)
	}
	return m.cmd.ProcessState.ExitCode()
}

// Eventually calls f until it succeeds or the guest ends: a server needs a moment until it
// listens.
func (m *VM) Eventually(f func() error) {
	m.t.Helper()
	err := errors.New("the guest ended")
	deadline := time.Now().Add(time.Minute)
	ok := m.poll(func() bool {
		if err = f(); err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		return err == nil || time.Now().After(deadline)
	})
	if err != nil || !ok {
		m.t.Fatal(err)
	}
}

// output is a buffer that can be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
