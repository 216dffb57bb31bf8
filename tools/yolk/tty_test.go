package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

// pty opens a pseudoterminal, pts(4).
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals here: ", err)
	}
	var unlock, n int32
	for req, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &n} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), req, uintptr(unsafe.Pointer(arg))); e != 0 {
			t.Skip("no pseudoterminals here: ", e)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals here: ", err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func state(t *testing.T, f *os.File) (s syscall.Termios) {
	t.Helper()
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&s))); e != 0 {
		t.Fatal(e)
	}
	return s
}

// readUntil reads the terminal's output until it has text.
func readUntil(t *testing.T, f *os.File, text string) string {
	t.Helper()
	done := time.AfterFunc(20*time.Second, func() { f.Close() })
	defer done.Stop()
	var all bytes.Buffer
	b := make([]byte, 1024)
	for !strings.Contains(all.String(), text) {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("terminal shows %q, %v; want %q", all.String(), err, text)
		}
		all.Write(b[:n])
	}
	return all.String()
}

// On a terminal each key reaches the guest at once and only the guest echoes it. Ctrl-C is a key
// for the guest and a signal for yolk. At the end the terminal is in its former state.
func TestTerminal(t *testing.T) {
	needQEMU(t)
	master, slave := pty(t)
	before := state(t, slave)
	var code tinyguest.Code
	cmd := yolkCommand(t, "run", "-accel=tcg", guest(t, code.Print("up\n").Echo().Echo().Exit(5)))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, master, "up\r\n")
	master.WriteString("k")
	if got := readUntil(t, master, "k"); got != "k" {
		t.Errorf("after one key the terminal shows %q; want it once, from the guest", got)
	}
	master.WriteString("\x03")
	if got := readUntil(t, master, "\x03"); !strings.Contains(got, "stopping (again to kill)") {
		t.Errorf("after Ctrl-C the terminal shows %q; want the word of it and the guest's echo", got)
	}
	cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 5 {
		t.Errorf("exit status %d; want the guest's 5", s)
	}
	if after := state(t, slave); after != before {
		t.Errorf("terminal state %+v; want %+v as before", after, before)
	}
}
