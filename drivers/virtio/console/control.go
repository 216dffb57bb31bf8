package console

import (
	"encoding/binary"
	"strings"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Events of control messages (§5.3.6.2).
const (
	deviceReady  = 0
	deviceAdd    = 1
	deviceRemove = 2
	portReady    = 3
	resizePort   = 5
	portOpen     = 6
	portName     = 7
)

// ErrControl means that the device does not take control messages.
const ErrControl = virtio.Error("virtio-console: device does not take control messages")

const (
	// headerSize is struct virtio_console_control: the port (le32), the event and a value (le16 each).
	headerSize = 8
	// messageSize bounds a message with what follows its header, a name or a size.
	messageSize = 64
)

// control is the pair of queues for messages about ports. The device's lock protects it.
type control struct {
	d       *Device
	in, out *virtio.Queue
	inMem   []byte // a buffer of messageSize for each head of in
	outMem  []byte // one of headerSize for each head of out
	inAt    uint64
	outAt   uint64
	seg     [1]virtio.Segment
}

func (c *control) start(d *Device) (err error) {
	c.d = d
	if c.in, err = d.queue(2, controlSize); err != nil {
		return err
	}
	if c.out, err = d.queue(3, controlSize); err != nil {
		return err
	}
	if c.inMem, c.inAt, err = d.mem.Alloc(c.in.Size() * messageSize); err != nil {
		return err
	}
	c.outMem, c.outAt, err = d.mem.Alloc(c.out.Size() * headerSize)
	return err
}

// listen gives the device all buffers for its messages.
func (c *control) listen() {
	for range c.in.Size() {
		c.post()
	}
	c.in.Kick()
	if c.in.EnableInterrupts(0) {
		c.serve()
	}
}

// post gives the device the buffer of the head that comes next.
func (c *control) post() {
	c.seg[0] = virtio.Segment{Addr: c.inAt + uint64(c.in.NextHead())*messageSize, Len: messageSize}
	c.in.Add(c.seg[:], 0)
}

// send sends a message about a port.
func (c *control) send(port uint32, event, value uint16) {
	for _, _, ok := c.out.Next(); ok; _, _, ok = c.out.Next() {
	}
	at := int(c.out.NextHead()) * headerSize
	if c.out.InFlight() == c.out.Size() {
		c.d.life.End(ErrControl)
		return
	}
	b := c.outMem[at:]
	binary.LittleEndian.PutUint32(b, port)
	binary.LittleEndian.PutUint16(b[4:], event)
	binary.LittleEndian.PutUint16(b[6:], value)
	c.seg[0] = virtio.Segment{Addr: c.outAt + uint64(at), Len: headerSize}
	c.out.Add(c.seg[:], 1)
	c.out.Kick()
	c.d.end(c.out)
}

// serve takes the messages that have come.
func (c *control) serve() {
	for {
		head, n, ok := c.in.Next()
		if !ok {
			if c.in.EnableInterrupts(0) && c.in.Err() == nil {
				continue
			}
			break
		}
		// A copy: the device may go on writing to its buffer.
		m := string(c.inMem[int(head)*messageSize:][:n])
		c.post()
		c.in.Kick()
		if len(m) >= headerSize {
			c.take(m)
		}
	}
	c.d.end(c.in)
}

// take does what a message says. Those that mean nothing here, or nothing at all, are not obeyed.
func (c *control) take(m string) {
	b := []byte(m[:headerSize])
	id, event, value := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	if id >= uint32(len(c.d.ports)) {
		if event == deviceAdd {
			c.send(id, portReady, 0) // §5.3.6.2.1: it cannot be used
		}
		return
	}
	p, rest := c.d.ports[id], m[headerSize:]
	switch event {
	case deviceAdd:
		if !p.known {
			p.known = true
			c.send(id, portReady, 1)
		}
	case deviceRemove:
		p.known, p.hostOpen = false, false
	case resizePort:
		if len(rest) >= 4 && c.d.opt.Resized != nil { // struct virtio_console_resize, §5.3.6.2.2
			s := []byte(rest[:4])
			c.d.opt.Resized(int(binary.LittleEndian.Uint16(s)), int(binary.LittleEndian.Uint16(s[2:])))
		}
	case portOpen:
		p.hostOpen = value != 0
		p.told = p.told || p.hostOpen
	case portName:
		p.name, _, _ = strings.Cut(rest, "\x00") // QEMU ends it with one
	}
}
