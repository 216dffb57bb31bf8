package qemu

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// connectionQueue is how many connections may wait for QEMU to accept them; the host's somaxconn
// bounds it.
const connectionQueue = 4096

// lengthenQueues lets bursts of connections wait for QEMU's user network, which listens with a
// backlog of one: the kernel would drop the other connections' SYNs, which would be repeated only
// after 1, 3, 7… seconds. listen(2) on a listening socket changes its backlog, and pidfd_getfd(2)
// gets QEMU's sockets.
func (vm *VM) lengthenQueues() {
	if !slices.ContainsFunc(vm.cfg.Forwards, func(f Forward) bool { return f.Proto == "tcp" }) {
		return
	}
	err := lengthenQueues(vm.cmd.Process.Pid, vm.pidfd)
	gone := errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)
	if err != nil && !gone && vm.con.Remarks != nil {
		fmt.Fprintf(vm.con.Remarks, "yolk: connections that come at the same time may wait for seconds: QEMU takes them one by one, and its sockets are out of reach (%v); -net tap:IF has no such limit\n", err)
	}
}

func lengthenQueues(pid, pidfd int) error {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		link, err := os.Readlink(dir + e.Name())
		if err != nil || !strings.HasPrefix(link, "socket:") {
			continue
		}
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if err := lengthenQueue(pidfd, number); err != nil {
			return err
		}
	}
	return nil
}

// lengthenQueue does so for one descriptor of the process, if it is a listening TCP socket.
func lengthenQueue(pidfd, number int) error {
	fd, err := unix.PidfdGetfd(pidfd, number, 0)
	if err != nil {
		return fmt.Errorf("pidfd_getfd: %w", err)
	}
	defer unix.Close(fd)
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listens == 0 {
		return err
	}
	return unix.Listen(fd, connectionQueue)
}
