// Package streams connects the console to a virtio console, if the word yolk.console=virtio asks for it: one port
// if the program has a terminal (yolk.tty=1), else one for each standard stream. A port of its own tells of the
// window's size and of signals. A device that has no several ports is one for all. Until that is connected, what is printed goes to the serial
// port, and what the program prints waits. Every program has it; runtime/machine/linked says so.
//
// Start reading at start.
package streams

import (
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/console"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

// Names of the ports: tools/internal/qemu has the other ends.
const (
	terminalPort = "yolk.tty"
	inPort       = "yolk.in"
	outPort      = "yolk.out"
	errPort      = "yolk.err"
	controlPort  = "yolk.control"
)

// Sizes of the ports' buffers, in bytes. QEMU passes on 4 KiB at a time.
const (
	inSize      = 64 << 10
	outSize     = 64 << 10
	errSize     = 16 << 10
	controlSize = 4 << 10
)

// patience is how long the host may take to name the ports.
const patience = 10 * time.Second

// errNone means that the host has not added what the word promises.
const errNone = virtio.Error("there is no such device")

// errPatience means that the host did not.
const errPatience = virtio.Error("the host does not name its ports")

// started is nil if the serial port serves.
var started *streams

func init() { started = start() }

// Device returns the virtio console that the console uses, nil if the serial port serves: other ports of it are for
// other uses.
func Device() *console.Device {
	if started == nil {
		return nil
	}
	return started.dev
}

// start returns nil if the serial port serves.
func start() *streams {
	words := wiring.AllWords()
	if !slices.Contains(words, "yolk.console=virtio") {
		return nil
	}
	list := devices.FindDevices(virtio.TypeConsole)
	if len(list) == 0 {
		serialServes("yolk.console=virtio", errNone)
		return nil
	}
	d, err := open(list[0])
	if err != nil {
		serialServes(list[0].Location, err)
		return nil
	}
	s := &streams{dev: d, where: list[0].Location, terminal: slices.Contains(words, "yolk.tty=1"), connected: make(chan struct{})}
	wiring.Kernel.ConnectConsole(
		func(p []byte) syscall.Errno { return s.write(&s.out, p) },
		func(p []byte) syscall.Errno { return s.write(&s.err, p) },
		s.keys)
	go s.connect()
	return s
}

func open(d *devices.Device) (*console.Device, error) {
	t, irqs, err := d.Open()
	if err != nil {
		return nil, err
	}
	dev, err := console.New(t, devices.DMA{}, console.Options{Resized: func(columns, rows int) { wiring.ResizeConsole(rows, columns) }})
	if err != nil {
		return nil, err
	}
	for _, irq := range irqs {
		go virtio.Serve(irq.Wait, dev.HandleInterrupt)
	}
	return dev, nil
}

// streams are the ports once they are connected.
type streams struct {
	dev       *console.Device
	where     string
	terminal  bool
	connected chan struct{} // closed when the ports are set, or there will be none
	out, err  *console.Port
	control   *console.Port // nil: the device has one port for all

	failing, said sync.Once
}

// connect finds the ports and opens them.
func (s *streams) connect() {
	late := time.AfterFunc(patience, func() { s.fail(errPatience) })
	in, err := s.find()
	late.Stop()
	if err != nil {
		s.fail(err)
		close(s.connected)
		return
	}
	close(s.connected)
	if s.control != nil {
		go obey(s.control)
	}
	read(in)
}

// find finds the ports, that of the control last in their order, and opens them.
func (s *streams) find() (in *console.Port, err error) {
	if in = s.dev.Console(); in != nil {
		s.out, s.err = in, in
		return in, in.Open(inSize, outSize)
	}
	if s.control, err = s.dev.Port(controlPort); err == nil {
		err = s.control.Open(controlSize, controlSize)
	}
	if s.terminal {
		in = s.port(terminalPort, inSize, outSize, &err)
		s.out, s.err = in, in
		return in, err
	}
	in = s.port(inPort, inSize, 0, &err)
	s.out = s.port(outPort, 0, outSize, &err)
	s.err = s.port(errPort, 0, errSize, &err)
	return in, err
}

// port opens a stream's port, unless an error came before.
func (s *streams) port(name string, in, out int, err *error) (p *console.Port) {
	if *err == nil {
		p, *err = s.dev.PortBefore(name)
	}
	if *err == nil {
		*err = p.Open(in, out)
	}
	return p
}

// write writes p to one of s's ports. What cannot go there goes to the serial port.
func (s *streams) write(to **console.Port, p []byte) syscall.Errno {
	wiring.Waiting(1) // for the host, which is no deadlock
	defer wiring.Waiting(-1)
	<-s.connected
	if *to == nil {
		wiring.ConsoleWrite(p)
		return 0
	}
	n, err := (*to).Write(p)
	switch err {
	case nil:
		return 0
	case console.ErrClosed:
		return syscall.EPIPE
	}
	s.fail(err)
	wiring.ConsoleWrite(p[n:])
	return 0
}

// fail gives the device up.
func (s *streams) fail(err error) {
	s.failing.Do(func() {
		s.dev.Close()
		wiring.Kernel.DisconnectConsole()
		go serialServes(s.where, err) // the caller may be who holds the console
	})
}

// serialServes says why the console of a place is not used.
func serialServes(where string, err error) {
	wiring.Kernel.Log("virtio-console: " + where + ": " + err.Error() + "; the serial port serves")
}

// read passes on what comes in. While the kernel holds enough that nobody has read, the port is left alone, and the
// host waits.
func read(in *console.Port) {
	b := make([]byte, 16<<10)
	for {
		n, err := in.Read(b)
		if n > 0 {
			wiring.Kernel.ConsoleInput(b[:n])
			wiring.Kernel.ConsoleDrain()
		}
		if err == io.EOF {
			wiring.Kernel.ConsoleHangup()
		}
		if err != nil {
			return
		}
	}
}
