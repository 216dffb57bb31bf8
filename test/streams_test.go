package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// Any bytes pass through a program unchanged, with any number of CPUs; what it says of them on standard error is not
// among them.
func TestStreams(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 8<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	for _, flags := range [][]string{{"-smp", "1"}, {"-smp", "4"}, {"-machine", "q35"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			t.Parallel()
			got := vm.Run(t, vm.Options{Flags: flags, Target: prog, Args: []string{"copy"}, Stdin: bytes.NewReader(sent)})
			if got.Stdout != string(sent) || got.Status != 0 {
				t.Errorf("status %d, %d bytes of %d, or others", got.Status, len(got.Stdout), len(sent))
			}
			if want := fmt.Sprintf("copied %d <nil>\n", len(sent)); !strings.Contains(got.Stderr, want) {
				t.Errorf("standard error %q; want %q", got.Stderr, want)
			}
		})
	}
}

// A reader of the output that does not read makes the program wait, and then the program the writer of its input:
// yolk keeps little.
func TestStreamsWait(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(vm.Command(t), "run", "-accel", "tcg", prog, "--", "copy")
	cmd.Dir = vm.Root(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer limit.Stop()
	first := make([]byte, 1)
	in.Write([]byte("x"))
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatal(err)
	}
	const most = 16 << 20
	var sent sync.WaitGroup
	taken := make(chan int, 1)
	sent.Go(func() {
		n, last := 0, time.Now()
		b := make([]byte, 4096)
		in.(*os.File).SetWriteDeadline(time.Now().Add(5 * time.Second))
		for ; n < most && time.Since(last) < 10*time.Second; n += len(b) {
			if _, err := in.Write(b); err != nil {
				break
			}
		}
		taken <- n
	})
	n := <-taken
	sent.Wait()
	if n >= most {
		t.Errorf("%d bytes were taken that nobody has read", n)
	}
	in.Close()
	rest, err := io.ReadAll(out)
	if err != nil || len(rest) < n {
		t.Errorf("%d bytes came of %d, %v", len(rest), n, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// terminal is a terminal in which yolk runs a case of prog.
type terminal struct {
	t      *testing.T
	master *os.File
	fd     int
	cmd    *exec.Cmd
	shown  string // all that it has shown
}

// newTerminal runs a case of prog in a window of 31 by 101 characters.
func newTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	yolk := vm.Command(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals here: ", err)
	}
	w := &terminal{t: t, master: master, fd: int(master.Fd())}
	n, err := unix.IoctlGetInt(w.fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(w.fd, unix.TIOCSPTLCK, 0)
	}
	slave, e := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil || e != nil {
		t.Fatal(err, e)
	}
	w.resize(31, 101)
	w.cmd = exec.Command(yolk, append([]string{"run", "-accel", "tcg", prog, "--"}, args...)...)
	w.cmd.Dir, w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = vm.Root(t), slave, slave, slave
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = w.cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(2*time.Minute, func() { w.cmd.Process.Kill() })
	t.Cleanup(func() {
		limit.Stop()
		w.cmd.Process.Kill()
		w.cmd.Wait()
		master.Close()
	})
	return w
}

func (w *terminal) resize(rows, columns uint16) {
	w.t.Helper()
	if err := unix.IoctlSetWinsize(w.fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *terminal) typeKeys(keys string) {
	w.t.Helper()
	if _, err := io.WriteString(w.master, keys); err != nil {
		w.t.Fatal(err)
	}
}

// wait reads until the terminal has shown a text.
func (w *terminal) wait(text string) {
	w.t.Helper()
	b := make([]byte, 4096)
	for !strings.Contains(w.shown, text) {
		n, err := w.master.Read(b)
		if err != nil {
			w.t.Fatalf("the terminal shows %q, %v; want %q", w.shown, err, text)
		}
		w.shown += string(b[:n])
	}
}

// end waits for the end of yolk, and returns its exit status.
func (w *terminal) end() int {
	w.cmd.Wait()
	return w.cmd.ProcessState.ExitCode()
}

// The window of the guest's terminal is that of the host's, and stays so.
func TestWindow(t *testing.T) {
	t.Parallel()
	w := newTerminal(t, "window")
	w.wait("window 31 101 errno 0\r")
	w.resize(60, 200)
	w.wait("window 60 200 errno 0\r")
	w.typeKeys("\x03") // ^C ends the program
	if status := w.end(); status != 130 {
		t.Errorf("exit status %d; want that of SIGINT", status)
	}
}

// A program that takes all keys gets each of them, a sequence as a whole and what is pasted without loss; the way out of
// it is said once.
func TestAllKeys(t *testing.T) {
	t.Parallel()
	w := newTerminal(t, "keys")
	w.wait("taking keys\r")
	for _, keys := range []string{"\x03", "\x1a", "\x1c", "\x1b[A", "\x1b[1;5C", "~.", "ä"} {
		w.typeKeys(keys)
		w.wait(fmt.Sprintf("keys %q\r", keys))
	}
	paste := strings.Repeat("pasted text, ", 800)
	w.typeKeys(paste + "Q")
	w.wait(fmt.Sprintf("pasted %d %x\r", len(paste), sha256.Sum256([]byte(paste))))
	w.typeKeys("\r~.")
	if status := w.end(); status != 128+15 {
		t.Errorf("exit status %d; want that of SIGTERM", status)
	}
	if n := strings.Count(w.shown, "Enter, ~ and . end the VM"); n != 1 {
		t.Errorf("the way out was said %d times:\n%s", n, w.shown)
	}
}
