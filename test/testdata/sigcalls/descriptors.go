package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

const (
	sysSignalfd4 = 289
	record       = 128 // struct signalfd_siginfo
)

func signalfd(fd int, set uint64, flags int) result {
	return call(sysSignalfd4, fd, unsafe.Pointer(keep(set)), 8, flags)
}

// received reads up to n signals and notes them.
func received(what string, fd, n int) {
	b := make([]byte, n*record)
	got, err := syscall.Read(fd, b)
	note(what, got, err)
	for ; got >= record; got -= record {
		u := binary.NativeEndian.Uint32
		sender := fmt.Sprint(u(b[12:]) == uint32(os.Getpid()), u(b[16:]))
		note("signal", u(b), u(b[4:]), int32(u(b[8:])), sender, u(b[20:]), u(b[28:]), u(b[32:]), u(b[44:]), binary.NativeEndian.Uint64(b[48:]))
		b = b[record:]
	}
}

func ready(fd int, timeout int) (int, int16) {
	p := keep(struct {
		fd              int32
		events, revents int16
	}{int32(fd), 5, 0})
	r := call(syscall.SYS_POLL, unsafe.Pointer(p), 1, timeout)
	return int(r.r), p.revents
}

// descriptors: signals that are blocked are read from a file.
func descriptors() {
	set := bit(rt) | bit(syscall.SIGUSR1)
	note("size", call(sysSignalfd4, -1, unsafe.Pointer(keep(set)), 4, 0))
	note("flags", signalfd(-1, set, 1))
	note("fault", call(sysSignalfd4, -1, 8, 8, 0))
	note("no descriptor", signalfd(999, set, 0))
	note("another file", signalfd(0, set, 0))
	made := signalfd(-1, set|bit(syscall.SIGKILL), syscall.O_NONBLOCK|syscall.O_CLOEXEC)
	fd := int(made.r)
	note("made", made.e)
	defer syscall.Close(fd)
	block(rt)
	block(syscall.SIGUSR1)
	block(syscall.SIGUSR2)

	received("nothing", fd, 1)
	n, ev := ready(fd, 0)
	note("not ready", n, ev)
	for v := range 3 {
		queueTo(tid(), rt, siQueue, uint64(v+7))
	}
	tgkill(tid(), syscall.SIGUSR1)
	tgkill(tid(), syscall.SIGUSR2)
	n, ev = ready(fd, 0)
	note("ready", n, ev)
	received("two", fd, 2)
	b := make([]byte, record-1)
	got, err := syscall.Read(fd, b)
	note("short", got, err)
	got, err = syscall.Write(fd, b)
	note("write", got, err)
	received("the rest", fd, 9)

	note("changed", signalfd(fd, bit(syscall.SIGUSR2), 0).e)
	received("of the new set", fd, 9)
	note("changed", signalfd(fd, set, 0).e)
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	note("fdinfo", string(text[len(text)-25:]), err)

	me := tid()
	soon(func() { queueTo(me, rt, siQueue, 77) })
	n, ev = ready(fd, 20000)
	note("poll", n, ev)
	received("polled", fd, 1)
	ep, _ := syscall.EpollCreate1(0)
	defer syscall.Close(ep)
	note("watched", syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: 5}))
	soon(func() { queueTo(me, rt, siQueue, 78) })
	events := make([]syscall.EpollEvent, 2)
	count, err := syscall.EpollWait(ep, events, 20000)
	note("epoll", count, err, events[0].Events, events[0].Fd)
	received("told", fd, 1)
	syscall.SetNonblock(fd, false)
	soon(func() { queueTo(me, rt, siQueue, 79) })
	received("waited", fd, 1)
}
