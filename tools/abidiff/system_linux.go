package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A host is the system of the Linux that the program runs on. All its methods must be called
// by the goroutine that has called newHost, which is bound to its thread: the thread has a
// table of descriptors, a working directory, a mount tree and a network of its own.
type host struct {
	w      *world
	second *actor // nil unless it was asked for
}

// workDir is the directory in which sequences begin, on both sides. It lies deep enough for a
// few ".." not to leave what both sides have alike.
const workDir = "/tmp/0/1/2/w"

// needs says what newHost cannot do without.
const needs = "the Linux side needs root, as yolk's is, and a mount tree and a network of its own"

// newHost makes the thread's own world. It needs CAP_SYS_ADMIN. Since the thread cannot be used
// for anything else after that, the goroutine should end without unlocking it.
// With a second actor the descriptors are the process's, because two threads need them.
func newHost(waiting bool) (*host, error) {
	runtime.LockOSThread()
	if err := startNetpoller(); err != nil {
		return nil, err
	}
	h := &host{}
	files := unix.CLONE_FILES
	if waiting {
		var err error
		if h.second, err = newActor(h, nil); err != nil {
			return nil, err
		}
		files = 0
	}
	if err := unix.Unshare(files | unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := startLoopback(); err != nil {
		return nil, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "size=256M"); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	if err := unix.Chroot("/tmp"); err != nil {
		return nil, err
	}
	if err := reserve(); err != nil {
		return nil, err
	}
	unix.Umask(0o022)
	blockSignals()
	h.w = newWorld(h)
	return h, nil
}

// startLoopback sets the loopback interface of the thread's own network up.
func startLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return errors.Join(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo), unix.Close(fd))
}

// firstFD is the lowest descriptor of a sequence. Those below it are the program's: Go's scheduler
// uses its netpoller on any thread.
const firstFD = 32

// lastFD is the highest descriptor of a sequence.
const lastFD = 1000

// startNetpoller makes Go open the descriptors of its netpoller, so that the thread has them.
func startNetpoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
}

// reserve occupies all descriptors below firstFD and frees the others. The table of descriptors
// is the thread's own already.
func reserve() error {
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD, 0)
		if err != nil {
			return fmt.Errorf("dup: %w", err)
		}
		if fd >= firstFD {
			break
		}
	}
	return unix.CloseRange(firstFD, lastFD, 0)
}

// blockSignals keeps signals from the calling thread: SIGURG, with which Go's scheduler interrupts, would
// end calls, and SIGPIPE is of no interest.
func blockSignals() {
	var set unix.Sigset_t
	for _, s := range []syscall.Signal{unix.SIGURG, unix.SIGPIPE, unix.SIGIO, unix.SIGALRM} {
		set.Val[0] |= 1 << (s - 1)
	}
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

func (h *host) call(nr uintptr, a [6]uintptr) (uintptr, syscall.Errno) {
	r, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return r, e
}

// restart closes all descriptors and makes the tree anew.
func (h *host) restart() error {
	if err := unix.CloseRange(firstFD, lastFD, 0); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	unix.Umask(0o022)
	h.w.removeAll("/tmp")
	return h.w.makeTree()
}

// makeTree makes the working directory and goes there.
func (w *world) makeTree() error {
	path := ""
	for _, name := range []string{"/tmp", "/0", "/1", "/2", "/w"} {
		path += name
		w.mem.reset()
		if _, e := w.raw(unix.SYS_MKDIR, w.mem.put(path), 0o777); e != 0 && e != syscall.EEXIST {
			return fmt.Errorf("mkdir %s: %w", path, e)
		}
	}
	if _, e := w.raw(unix.SYS_CHDIR, w.mem.put(path)); e != 0 {
		return fmt.Errorf("chdir %s: %w", path, e)
	}
	return nil
}

// removeAll removes a directory's content and the directory. What cannot be removed stays.
func (w *world) removeAll(path string) {
	for _, e := range w.list(path) {
		full := path + "/" + e.name
		if e.typ == unix.DT_DIR {
			w.removeAll(full)
			continue
		}
		w.mem.reset()
		_, _ = w.raw(unix.SYS_UNLINK, w.mem.put(full))
	}
	w.mem.reset()
	_, _ = w.raw(unix.SYS_RMDIR, w.mem.put(path))
}
