package qemu

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file has the system calls of gate.go: seccomp(2), seccomp_unotify(2).

// filterThread filters the system calls of this thread, and of the processes that it starts. What the
// program leaves to a decision arrives at the file that is returned.
func filterThread(program []unix.SockFilter) (fd int, err error) {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	r, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	if e != 0 {
		return -1, fmt.Errorf("seccomp: %w", e)
	}
	return int(r), nil
}

// notification is struct seccomp_notif of <linux/seccomp.h>.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

const (
	notifRecv     = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend     = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	notifContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// receive waits for the next system call to decide on. Its error is io.EOF when nobody can make one
// any more; before Linux 6.11 only poll(2) tells.
func receive(fd int) (notification, error) {
	for {
		var n notification
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err != nil && err != unix.EINTR {
			return n, err
		}
		switch {
		case p[0].Revents&unix.POLLIN != 0:
		case p[0].Revents != 0:
			return n, io.EOF
		default:
			continue
		}
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifRecv, uintptr(unsafe.Pointer(&n)))
		if e == 0 {
			return n, nil
		}
		if e != unix.EINTR && e != unix.ENOENT { // ENOENT: the caller was killed
			return n, e
		}
	}
}

// answer lets a system call go on, or fail with an error number that is not 0.
func answer(fd int, n notification, errno unix.Errno) error {
	r := response{id: n.id, error: -int32(errno)}
	if errno == 0 {
		r.flags = notifContinue
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifSend, uintptr(unsafe.Pointer(&r)))
	if e != 0 && !errors.Is(e, unix.ENOENT) {
		return e
	}
	return nil
}

// readMemory reads memory of another process.
func readMemory(pid int, addr uint64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &p[0], Len: uint64(len(p))}}
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(p)}}, 0)
	if err == nil && n != len(p) {
		err = unix.EFAULT
	}
	return err
}
