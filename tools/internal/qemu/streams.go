package qemu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/inside"
)

// VirtioConsole is the word of the guest's configuration that has it use the ports below. An image that can says so
// (readyStreams); others use the serial port alone, as all do until they have set the ports up.
const VirtioConsole = "yolk.console=virtio"

// readyStreams is the line by which an image says that it knows VirtioConsole.
const readyStreams = "ready streams"

// ports are this process's ends of the ports of a virtio console: one for each standard stream, or for all if the
// guest has a terminal. In runtime/wiring/streams and .../ask are the other ends.
type ports struct {
	in, out, err *net.UnixConn // with a terminal in is all, the others are nil
	control      *net.UnixConn
	ask          *net.UnixConn
}

// portArgs give the guest a virtio console with ports at descriptors.
func (c *Config) portArgs() []string {
	if c.ports == nil {
		return nil
	}
	args := []string{"-device", c.virtio("serial", ",max_ports=6")}
	for i, p := range c.ports {
		// From 1 on: QEMU keeps number 0 for a console, which drops what its reader does not take at once
		// (hw/char/virtio-console.c).
		args = append(args, "-chardev", fmt.Sprintf("socket,id=port%d,fd=%d", i+1, p.fd),
			"-device", fmt.Sprintf("virtserialport,nr=%d,name=%s,chardev=port%d", i+1, p.name, i+1))
	}
	return args
}

// lentPort is QEMU's end of a port.
type lentPort struct {
	name string
	fd   int
}

// connectPorts makes the ports.
func (vm *VM) connectPorts(f *files, cfg *Config) error {
	add := func(name string, to **net.UnixConn) error {
		ours, theirs, err := socketPair()
		if err != nil {
			return err
		}
		f.kept = append(f.kept, ours)
		cfg.ports = append(cfg.ports, lentPort{name, f.lend(theirs)})
		*to = ours
		return nil
	}
	p := &vm.ports
	var err error
	if vm.con.Terminal {
		err = add("yolk.tty", &p.in)
	} else {
		err = errors.Join(add("yolk.in", &p.in), add("yolk.out", &p.out), add("yolk.err", &p.err))
	}
	err = errors.Join(err, add("yolk.control", &p.control), add("yolk.ask", &p.ask))
	if err == nil {
		vm.questions = inside.NewPort(p.ask)
	}
	return err
}

// closePorts closes this process's ends, so that nothing waits for them.
func (p *ports) close() {
	for _, c := range []*net.UnixConn{p.in, p.out, p.err, p.control, p.ask} {
		if c != nil {
			c.Close()
		}
	}
}

// A merger writes what comes from the serial port and from a port of the virtio console in the order in which the guest
// has sent it: it uses the serial port until the other is set up, and later only for its last words.
type merger struct {
	serial *os.File
	port   *net.UnixConn
	// serialTo and portTo take what comes; they may be one.
	serialTo, portTo io.Writer

	mu    sync.Mutex // held from a read to the write of what was read
	began bool       // the port has been used
}

// pause is how long a merger waits between two looks whether what came earlier has been written.
const pause = time.Millisecond

// copySerial copies what comes by the serial port until its end.
func (m *merger) copySerial() {
	m.copy(m.serial, func() {
		for m.hasBegun() && m.port != nil && unread(m.port) > 0 {
			time.Sleep(pause)
		}
	}, func(b []byte) error {
		m.serialTo.Write(b)
		return nil // QEMU's serial port is not to wait for ever
	})
}

// copyPort copies what comes by the port until its end, or until the writer fails: then the guest learns that nobody
// reads. first is called before the first write.
func (m *merger) copyPort(first func()) {
	m.copy(m.port, func() {
		for m.serial != nil && !m.hasBegun() && unread(m.serial) > 0 {
			time.Sleep(pause)
		}
	}, func(b []byte) error {
		if !m.began {
			first()
		}
		m.began = true
		_, err := m.portTo.Write(b)
		return err
	})
	m.port.Close()
}

func (m *merger) hasBegun() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.began
}

// copy reads from r until its end or an error of write, with the lock held from a read to the end of the write, and
// wait called before.
func (m *merger) copy(r syscall.Conn, wait func(), write func([]byte) error) {
	raw, err := r.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	more := true
	for more {
		err := raw.Read(func(fd uintptr) bool {
			if unreadFD(int(fd)) == 0 && !ended(int(fd)) {
				return false
			}
			wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			n, err := unix.Read(int(fd), buf)
			switch {
			case err == unix.EAGAIN || err == unix.EINTR:
				return false
			case n <= 0:
				more = false
			default:
				more = write(buf[:n]) == nil
			}
			return true
		})
		if err != nil {
			return
		}
	}
}

// unread is how many bytes a connection has that were not read.
func unread(c syscall.Conn) (n int) {
	raw, err := c.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { n = unreadFD(int(fd)) })
	}
	return n
}

func unreadFD(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return n
}

// ended reports whether nothing more can come.
func ended(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&(unix.POLLHUP|unix.POLLRDHUP|unix.POLLERR) != 0
}

// copyOutput begins to copy what the guest prints.
func (vm *VM) copyOutput() {
	out, errs := vm.con.Out, vm.con.Err
	if errs == nil {
		out = &lockedWriter{w: out}
		errs = out
	}
	m := &merger{serial: vm.serial, serialTo: out, port: vm.ports.err, portTo: errs}
	used := func() { vm.setReady(true) }
	switch {
	case !vm.con.Virtio:
		m.port = nil
	case vm.con.Terminal:
		m.port, m.portTo = vm.ports.in, out
	default:
		vm.copies.Go(func() { (&merger{port: vm.ports.out, portTo: out}).copyPort(used) })
	}
	if m.port != nil {
		vm.copies.Go(func() { m.copyPort(used) })
		vm.copies.Go(vm.readControl)
	}
	vm.copies.Go(func() {
		if vm.awaitSerial() && vm.streams && !vm.con.Terminal {
			m.serialTo = errs // what the machine itself has to say
		}
		m.copySerial()
	})
}

// awaitSerial waits until something comes by the serial port, and then until it is known whether the guest uses the
// ports: it says so before it prints anything. It returns false if nothing comes until the end.
func (vm *VM) awaitSerial() bool {
	raw, err := vm.serial.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	raw.Read(func(fd uintptr) bool {
		some = unreadFD(int(fd)) > 0
		return some || ended(int(fd))
	})
	if !some {
		return false
	}
	if vm.con.Virtio {
		select {
		case <-vm.ready:
		case <-vm.told:
		case <-time.After(readyWait):
		}
	}
	vm.setReady(false)
	return true
}

// lockedWriter is for a writer of two streams.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// feedPort copies the input to its port, and its end.
func (vm *VM) feedPort(in io.Reader) {
	w := io.Writer(vm.ports.in)
	if vm.con.Terminal && vm.con.Leave != nil {
		w = &typing{w: w, all: vm.allKeys.Load, leave: vm.con.Leave}
	}
	if in != nil {
		io.Copy(w, in)
	}
	if !vm.con.Terminal { // which has a character for it
		// One direction alone: of a connection that is closed, QEMU forgets what it has not read (tcp_chr_hup in
		// chardev/char-socket.c).
		vm.ports.in.CloseWrite()
	}
}

// Resize tells the guest how large the terminal's window is, in characters.
func (vm *VM) Resize(rows, columns int) {
	if vm.con.Virtio {
		vm.command("size %d %d\n", rows, columns)
	}
}

// command sends a line to the guest's control port. It does not wait: the guest may not read.
func (vm *VM) command(format string, args ...any) {
	go fmt.Fprintf(vm.ports.control, format, args...)
}
