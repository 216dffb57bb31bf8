package test

import (
	"bytes"
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

// The window of the guest's terminal is that of the host's, and stays so.
func TestWindow(t *testing.T) {
	t.Parallel()
	yolk := vm.Command(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals here: ", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 31, Col: 101})
	}
	slave, e := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil || e != nil {
		t.Fatal(err, e)
	}
	cmd := exec.Command(yolk, "run", "-accel", "tcg", prog, "--", "window")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = vm.Root(t), slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer cmd.Wait()
	defer cmd.Process.Kill()
	limit := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer limit.Stop()
	shown := ""
	wait := func(text string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(shown, text) {
			n, err := master.Read(b)
			if err != nil {
				t.Fatalf("the terminal shows %q, %v; want %q", shown, err, text)
			}
			shown += string(b[:n])
		}
	}
	wait("window 31 101 errno 0\r")
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 60, Col: 200}); err != nil {
		t.Fatal(err)
	}
	wait("window 60 200 errno 0\r")
	io.WriteString(master, "\x03") // ^C ends the program
	cmd.Wait()
}
