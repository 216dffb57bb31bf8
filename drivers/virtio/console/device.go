// Package console drives virtio consoles (virtio 1.2 §5.3): pairs of queues that carry bytes, called
// ports. A device without the feature MULTIPORT has one port, a console. One with it has several, with
// names, which are told by control messages.
//
// Start reading at New; port.go has what a port's user calls, control.go the messages.
package console

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// ErrNotConsole means that the device is of another type.
const ErrNotConsole = virtio.Error("virtio-console: not a console")

// ErrPorts means that the device claims to have no port at all.
const ErrPorts = virtio.Error("virtio-console: device has no ports")

// Features and the configuration (§5.3.3, §5.3.4).
const (
	featureSize      uint64 = 1 << 0
	featureMultiport uint64 = 1 << 1

	configCols  = 0 // le16
	configRows  = 2 // le16
	configPorts = 4 // le32, max_nr_ports
)

const (
	// maxPorts is how many ports are used of a device that has more.
	maxPorts = 16
	// ringSize is the length of a port's queues, and controlSize that of the control queues: three messages
	// come for each port when the device starts, and a host may lose those for which there is no buffer.
	ringSize    = 16
	controlSize = 4 * maxPorts
)

// Options are what a driver's user wants to hear of.
type Options struct {
	// Resized is told the size of a console's window, in characters, when it changes. It may be nil, and
	// must not call the device.
	Resized func(columns, rows int)
}

// Device is a virtio console at work.
type Device struct {
	life virtio.Lifecycle // its lock protects what follows
	cond sync.Cond        // broadcast when a port's state or buffers have changed
	mem  virtio.Memory
	opt  Options

	features uint64
	ports    []*Port // by their numbers
	control  control
}

// New starts a console. Its interrupt must be connected already. The device's own messages about its ports
// follow: see Port.
func New(t virtio.Transport, mem virtio.Memory, opt Options) (*Device, error) {
	if t.DeviceType() != virtio.TypeConsole {
		return nil, ErrNotConsole
	}
	d := &Device{mem: mem, opt: opt}
	d.cond.L = &d.life
	d.life.Transport = t
	d.life.OnQueues = d.serve
	d.life.OnConfig = d.resize
	d.life.OnEnd = func(error) { d.cond.Broadcast() }
	if err := d.life.Start(func() error { return d.start(t) }); err != nil {
		return nil, err
	}
	d.life.Lock()
	defer d.life.Unlock()
	d.introduce()
	return d, d.life.Err()
}

func (d *Device) start(t virtio.Transport) (err error) {
	if d.features, err = virtio.Negotiate(t, featureSize|featureMultiport, 0, nil); err != nil {
		return err
	}
	n := 1
	if d.multiport() {
		n = int(min(t.Config().Read32(configPorts), maxPorts))
	}
	if n == 0 {
		return ErrPorts
	}
	for i := range n {
		p := &Port{d: d, id: uint32(i)}
		if p.in.q, err = d.queue(receiveQueue(i), ringSize); err != nil {
			return err
		}
		if p.out.q, err = d.queue(receiveQueue(i)+1, ringSize); err != nil {
			return err
		}
		d.ports = append(d.ports, p)
	}
	if d.multiport() {
		if err := d.control.start(d); err != nil {
			return err
		}
	}
	return virtio.Ready(t)
}

func (d *Device) queue(i, size int) (*virtio.Queue, error) {
	return virtio.NewQueue(d.life.Transport, d.mem, d.features, i, size)
}

// receiveQueue is the number of a port's first queue: the control queues are number 2 and 3 (§5.3.2).
func receiveQueue(port int) int {
	if port == 0 {
		return 0
	}
	return 2 + 2*port
}

func (d *Device) multiport() bool { return d.features&featureMultiport != 0 }

// introduce says that the driver is there. Without MULTIPORT the only port is a console, which is open.
func (d *Device) introduce() {
	if d.multiport() {
		d.control.listen()
		d.control.send(0, deviceReady, 1)
		return
	}
	p := d.ports[0]
	p.known, p.hostOpen = true, true
	d.resize()
}

// resize tells the size that the configuration has. A device with several ports sends messages instead.
func (d *Device) resize() {
	if d.opt.Resized == nil || d.multiport() || d.features&featureSize == 0 {
		return
	}
	c := d.life.Transport.Config()
	d.opt.Resized(int(c.Read16(configCols)), int(c.Read16(configRows)))
}

// serve looks at all queues.
func (d *Device) serve() {
	if d.multiport() {
		d.control.serve()
	}
	for _, p := range d.ports {
		if p.opened {
			p.serve()
		}
	}
	d.cond.Broadcast()
}

// end ends the device if a queue is broken.
func (d *Device) end(q *virtio.Queue) {
	if err := q.Err(); err != nil {
		d.life.End(err)
	}
}

// HandleInterrupt does all that the device may have interrupted for. An error is final.
func (d *Device) HandleInterrupt() error { return d.life.HandleInterrupt() }

// HandleConfigChange handles an interrupt that is for changes of the configuration alone.
func (d *Device) HandleConfigChange() error { return d.life.HandleConfigChange() }

// Close stops the device; reads and writes that wait fail.
func (d *Device) Close() { d.life.Close() }
