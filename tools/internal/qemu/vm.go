package qemu

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/inside"
	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
)

// readyWait is for how long a guest that prints something may not have said that it is ready, which it does before,
// until it is taken for one that knows the serial port alone. Input of a guest that has no other waits as long for either:
// the guest resets the serial port when it sets it up, and loses what came earlier.
const readyWait = time.Second

// powerOffGrace is how long QEMU may take to exit after the guest has written its exit status.
const powerOffGrace = 3 * time.Second

// Console connects the guest's console, and has open files for QEMU.
type Console struct {
	// In is the guest's standard input; nil means that it is empty.
	In io.Reader
	// Out takes what the guest prints, and Err what goes to its standard error; with a terminal Out takes all, and
	// from an image that knows the serial port alone. A nil Err is Out.
	Out, Err io.Writer
	// Virtio says that the guest's configuration has the word VirtioConsole.
	Virtio bool
	// Terminal says that the guest uses the console as a terminal; otherwise input is
	// escaped (EscapedInput).
	Terminal bool
	// Keys is called, if not nil, when the program on a terminal has decided whether Ctrl-C and Ctrl-\ make signals.
	// While they do not, Leave is called when Enter, ~ and . are typed, and passes as no key.
	Keys  func(signals bool)
	Leave func()
	// Initrd is an open cpio archive, whose name may have been removed, or nil for
	// Config.Initrd.
	Initrd *os.File
	// Remarks gets lines for the user about features that are not available; may be nil.
	Remarks io.Writer
	// Crashed is called, if not nil, when the program has crashed. The machine is stopped
	// during the call, and ends after it.
	Crashed func(*qmp.Client)
}

// VM is a running virtual machine.
type VM struct {
	cfg    Config
	con    Console
	cmd    *exec.Cmd
	pidfd  int
	input  *os.File // of the serial port
	serial *os.File // what comes out of it
	ports  ports
	// questions is the port for them, nil if there is none.
	questions *inside.Port
	copies    sync.WaitGroup // of output
	life      *os.File       // kept open, see lifeline
	stderr    tail
	done      chan struct{} // closed when QEMU has ended and err is set
	err       error
	told      chan struct{} // closed when the reader of the status line has reached the end
	ready     chan struct{} // closed when the guest has set up its console
	once      sync.Once     // closes ready
	// streams says that the guest uses the ports. It is set when ready is closed.
	streams bool
	allKeys atomic.Bool // the program takes all keys of the terminal
	kept    sync.Once   // tells of a connection that gate refused

	mu     sync.Mutex
	status int // the guest's exit status, -1 until it is reported
	killed bool
}

// Failure is the error of a VM that ended without an exit status of the program.
type Failure struct {
	// Reason is QEMU's error message in one line with advice, or "" if QEMU had none: then
	// the guest itself has ended the machine.
	Reason string
	// Stderr is the end of QEMU's standard error.
	Stderr string
	// Signal is the one that ended QEMU, from outside, or 0.
	Signal syscall.Signal
}

func (f *Failure) Error() string {
	if f.Reason != "" {
		return f.Reason
	}
	return "the VM ended without an exit status (triple fault or VMM error)"
}

// ErrKilled is returned by Wait after Kill.
var ErrKilled = errors.New("the VM was killed")

// Start boots a machine. It runs until Wait returns.
func Start(cfg Config, con Console) (*VM, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	vm := &VM{cfg: cfg, con: con, status: -1, done: make(chan struct{}), told: make(chan struct{}), ready: make(chan struct{})}
	f := files{lent: []*os.File{nil}} // the status port's comes first
	defer f.closeLent()
	status, err := vm.connect(&f)
	if err != nil {
		f.closeKept()
		return nil, err
	}
	started := make(chan error)
	vm.cmd = exec.Command(path, f.args...)
	vm.cmd.Env = environment(os.Environ())
	vm.cmd.Stdin = f.stdin
	// Always a pipe, never the user's own terminal or file: QEMU makes its console
	// non-blocking, which would affect all processes that share the file.
	vm.cmd.Stdout = f.stdout
	vm.cmd.Stderr = &vm.stderr
	vm.cmd.ExtraFiles = f.lent
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{
		// A group of its own, so that a terminal's Ctrl-C reaches only this process, and a signal
		// from the kernel if this process is killed.
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL,
		PidFD:     &vm.pidfd,
	}
	go vm.supervise(started)
	if err := <-started; err != nil {
		f.closeKept()
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	if f.lifeline != nil {
		if err := lifeline(f.lifeline, vm.cmd.Process.Pid); err != nil {
			vm.remark("QEMU goes on if this process is killed: %v", err)
		}
	}
	if f.crash != nil {
		go vm.watchCrash(f.crash)
	}
	if slices.Contains(cfg.Extra, "-incoming") || slices.Contains(cfg.Extra, "-loadvm") {
		vm.setReady(con.Virtio) // the guest has said what it uses before it was saved
	}
	vm.copyOutput()
	go vm.readStatus(status)
	go vm.feed(con.In)
	return vm, nil
}

// supervise starts QEMU and waits for its end on one locked thread, because PR_SET_PDEATHSIG sends
// its signal when the thread that started the child ends. QEMU inherits from the thread that it
// cannot get more rights by starting a program (no_new_privs, prctl(2)); the thread ends with the
// goroutine.
func (vm *VM) supervise(started chan<- error) {
	runtime.LockOSThread()
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		g, why := newGate(&vm.cfg, func() int { return vm.pidfd }, vm.refused)
		if why != nil {
			vm.remark("%v", why)
		}
		err = vm.cmd.Start()
		if g != nil { // also if there is no QEMU: then it ends at once
			go g.serve()
		}
	}
	started <- err
	if err != nil {
		return
	}
	vm.err = vm.cmd.Wait()
	vm.input.Close()
	<-vm.told // its reader may be using the sockets
	vm.copies.Wait()
	vm.ports.close()
	unix.Close(vm.pidfd)
	if vm.life != nil {
		vm.life.Close()
	}
	close(vm.done)
}

// setReady says that the guest is running, and whether it uses the ports.
func (vm *VM) setReady(streams bool) {
	vm.once.Do(func() {
		vm.lengthenQueues()
		vm.streams = streams
		close(vm.ready)
	})
}

// readStatus waits for the line "exit N". Any line, such as "ready", shows that the guest is
// running, and readyStreams that it uses the ports; others have no meaning yet.
func (vm *VM) readStatus(r *os.File) {
	defer close(vm.told)
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		vm.setReady(vm.con.Virtio && strings.TrimSpace(lines.Text()) == readyStreams)
		n, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "exit ")
		status, err := strconv.ParseUint(n, 10, 8)
		if !ok || err != nil {
			continue
		}
		vm.mu.Lock()
		vm.status = int(status)
		vm.mu.Unlock()
		time.AfterFunc(powerOffGrace, vm.end)
	}
	io.Copy(io.Discard, r) // a line too long for the scanner must not block QEMU
}

// feed copies the input to the console, and its end.
func (vm *VM) feed(in io.Reader) {
	var limit <-chan time.Time
	if !vm.con.Virtio && vm.cfg.GDB.IsZero() { // a debugger may stop the guest before that
		limit = time.After(readyWait)
	}
	select {
	case <-vm.ready:
	case <-vm.done:
		return
	case <-limit:
		vm.setReady(false)
	}
	if vm.streams {
		vm.feedPort(in)
		return
	}
	w := vm.con.encoder(vm.input)
	if in != nil {
		if _, err := io.Copy(w, in); err != nil {
			return
		}
	}
	vm.input.Write(w.end())
}

// Stop asks the guest to end, as the signal would on a host. It does not wait, because the console
// may be full.
func (vm *VM) Stop(sig syscall.Signal) {
	go func() {
		select {
		case <-vm.ready:
		case <-vm.done:
			return
		}
		switch {
		case !vm.streams:
			vm.input.Write(vm.con.signal(sig))
		case vm.con.Terminal && sig != syscall.SIGTERM: // typed, so that it means what the program has made of it
			vm.ports.in.Write(vm.con.signal(sig))
		default:
			vm.command("signal %d\n", int(sig))
		}
	}()
}

// Kill ends QEMU at once.
func (vm *VM) Kill() {
	vm.mu.Lock()
	vm.killed = true
	vm.mu.Unlock()
	vm.end()
}

// end kills QEMU and its child processes (its process group).
func (vm *VM) end() {
	select {
	case <-vm.done:
	default:
		syscall.Kill(-vm.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// Questions returns the guest's port for questions; nil if it has none.
func (vm *VM) Questions() *inside.Port { return vm.questions }

// PID returns QEMU's process ID.
func (vm *VM) PID() int { return vm.cmd.Process.Pid }

// Ready is closed when the guest has been heard of: it has set up its console, or printed something.
func (vm *VM) Ready() <-chan struct{} { return vm.ready }

// Done is closed when the machine has ended.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// Wait returns the program's exit status, or ErrKilled, or a *Failure.
func (vm *VM) Wait() (int, error) {
	<-vm.done
	vm.mu.Lock()
	status, killed := vm.status, vm.killed
	vm.mu.Unlock()
	switch {
	case status >= 0:
		return status, nil
	case killed:
		return -1, ErrKilled
	}
	text := vm.stderr.String()
	f := &Failure{Reason: vm.cfg.explain(text), Stderr: text}
	if e := (*exec.ExitError)(nil); errors.As(vm.err, &e) {
		if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			f.Signal = ws.Signal()
			f.Reason = fmt.Sprintf("QEMU was ended by a signal from outside (%v)", f.Signal)
		}
	}
	return -1, f
}

// tail keeps the end of the data written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
