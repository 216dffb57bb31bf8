package qemu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
)

// crashArgs make QEMU stop the machine when the guest reports a crash (docs/specs/pvpanic of QEMU),
// and send an event to a monitor at descriptor fd.
func crashArgs(fd int) []string {
	return append([]string{"-device", "pvpanic", "-action", "panic=pause"}, monitor("crash", fmt.Sprintf("fd=%d", fd))...)
}

// monitor is a QMP monitor on a socket.
func monitor(id, where string) []string {
	return []string{"-chardev", "socket,id=" + id + "," + where, "-mon", "chardev=" + id + ",mode=control"}
}

// socketPair returns a connected pair of sockets: one for this process, and one that QEMU inherits.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// watchCrash calls Console.Crashed when the guest has crashed, with the machine stopped, and then
// resumes the guest until it ends.
//
// The event GUEST_PANICKED comes before the machine stops, when "cont" would do nothing; STOP
// comes after it. A guest may have crashed before the monitor is connected.
func (vm *VM) watchCrash(conn *net.UnixConn) {
	c, err := qmp.New(conn)
	if err != nil {
		select {
		case <-vm.done: // QEMU did not start; Wait returns why
		default:
			vm.remark("no core will be written: %v", err)
		}
		return
	}
	defer c.Close()
	err = vm.handleCrash(c)
	for err == nil {
		e, ok := <-c.Events()
		if !ok {
			return
		}
		if e.Name == "STOP" {
			err = vm.handleCrash(c)
		}
	}
	// The guest may end QEMU before it answers.
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EPIPE) {
		vm.remark("%v", err)
		vm.end()
	}
}

// handleCrash returns at once if the machine is not stopped by a crash.
func (vm *VM) handleCrash(c *qmp.Client) error {
	var state struct{ Status string }
	if err := c.Execute("query-status", nil, &state); err != nil || state.Status != "guest-panicked" {
		return err
	}
	vm.con.Crashed(c)
	return c.Execute("cont", nil, nil)
}

func (vm *VM) remark(format string, args ...any) {
	if vm.con.Remarks != nil {
		fmt.Fprintf(vm.con.Remarks, "yolk: "+format+"\n", args...)
	}
}
