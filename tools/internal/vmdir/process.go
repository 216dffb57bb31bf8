package vmdir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessOf names a process that lives now.
func ProcessOf(pid int) (Process, error) {
	start, err := startTicks(pid)
	return Process{PID: pid, Start: start}, err
}

// startTicks reads field 22 of /proc/PID/stat. The second one, a name, may have anything in it, and
// ends with the last parenthesis.
func startTicks(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	const third, wanted = 3, 22
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= wanted-third {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	if s := fields[0]; len(s) == 1 && (s[0] == 'Z' || s[0] == 'X') {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(string(fields[wanted-third]), 10, 64)
}

// Alive reports whether this very process lives.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := startTicks(p.PID)
	return err == nil && start == p.Start
}

// Kill ends this very process with SIGKILL. The descriptor keeps another process with the same ID
// from being hit.
func (p Process) Kill() error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !p.Alive() {
		return os.ErrProcessDone
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// reapWait is how long QEMU may take to give back its memory after its death.
const reapWait = 5 * time.Second

// reap waits until a process has ended that the kernel kills with its parent; it kills it should
// the kernel not have.
func (p Process) reap() {
	if !p.Alive() {
		return
	}
	p.Kill()
	for end := time.Now().Add(reapWait); p.Alive() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}
