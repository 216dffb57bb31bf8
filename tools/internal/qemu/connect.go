package qemu

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// files are the ends of the connections with QEMU.
type files struct {
	args     []string // QEMU's, which name descriptors
	stdin    *os.File
	stdout   *os.File
	lent     []*os.File // QEMU's descriptors from 3 on
	lifeline *os.File   // one of lent
	crash    *net.UnixConn
	kept     []io.Closer // this process's ends
}

// lend gives QEMU a file, and returns its descriptor there.
func (f *files) lend(file *os.File) int {
	f.lent = append(f.lent, file)
	return 2 + len(f.lent)
}

// pipe keeps one end of a new pipe and returns the other.
func (f *files) pipe(keepWriting bool) (kept, other *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if keepWriting {
		r, w = w, r
	}
	f.kept = append(f.kept, r)
	return r, w, nil
}

// closeLent closes what QEMU has inherited.
func (f *files) closeLent() {
	for _, file := range append(f.lent, f.stdin, f.stdout) {
		if file != nil {
			file.Close()
		}
	}
}

// closeKept closes this process's ends, if QEMU does not start.
func (f *files) closeKept() {
	for _, c := range f.kept {
		c.Close()
	}
}

// connect makes the connections with QEMU, and returns the reading end of the status port.
func (vm *VM) connect(f *files) (status *os.File, err error) {
	if status, f.lent[0], err = f.pipe(false); err != nil {
		return nil, err
	}
	if vm.input, f.stdin, err = f.pipe(true); err != nil {
		return nil, err
	}
	if vm.serial, f.stdout, err = f.pipe(false); err != nil {
		return nil, err
	}
	initrd := vm.cfg.Initrd
	if vm.con.Initrd != nil {
		file, err := duplicate(vm.con.Initrd)
		if err != nil {
			return nil, err
		}
		initrd = fmt.Sprintf("/dev/fd/%d", f.lend(file))
	}
	cfg := vm.cfg
	if vm.con.Virtio {
		if err := vm.connectPorts(f, &cfg); err != nil {
			return nil, err
		}
	}
	if vm.con.Crashed != nil {
		ours, theirs, err := socketPair()
		if err != nil {
			return nil, err
		}
		f.kept, f.crash, cfg.crashFD = append(f.kept, ours), ours, f.lend(theirs)
	}
	if cfg.Confined.User != "" {
		if vm.life, f.lifeline, err = f.pipe(true); err != nil {
			return nil, err
		}
		f.lend(f.lifeline)
	}
	if cfg.passt() >= 0 {
		frames, err := vm.startPasst()
		if err != nil {
			return nil, err
		}
		cfg.passtFD = f.lend(frames)
	}
	f.args = cfg.args("/dev/fd/3", initrd)
	return status, nil
}

// duplicate returns another descriptor of an open file, which stays the caller's.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
