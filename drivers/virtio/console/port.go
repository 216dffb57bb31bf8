package console

import (
	"io"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// ErrClosed means that the host has closed its end of a port: nobody reads what is written.
const ErrClosed = virtio.Error("virtio-console: the host has closed the port")

// A Port carries bytes both ways. The device's lock protects its fields.
type Port struct {
	d  *Device
	id uint32

	// What the device has said.
	known    bool
	name     string
	hostOpen bool
	// told is set when it is known whether the host has the port open: it has had it open, or the user knows.
	told bool

	opened bool // by Open
	in     input
	out    output
}

// input is what comes from the host, in buffers of equal size.
type input struct {
	q     *virtio.Queue
	mem   []byte
	at    uint64
	size  int
	of    []int   // the buffer that a head has
	ready []chunk // what has come, not read yet
}

// chunk is what the device has put into a buffer, from off on.
type chunk struct{ buffer, off, n int }

// output is what goes to the host, in buffers of equal size by the heads of the queue.
type output struct {
	q    *virtio.Queue
	mem  []byte
	at   uint64
	size int
	of   []sent // what a head has
}

// sent is a part of a Write that the device holds.
type sent struct {
	by *transfer
	n  int
}

// transfer is one Write.
type transfer struct {
	chains, bytes int // that the device holds
}

// Name is what the port is called.
func (p *Port) Name() string {
	p.d.life.Lock()
	defer p.d.life.Unlock()
	return p.name
}

// Console returns the one port of a device without MULTIPORT, else nil.
func (d *Device) Console() *Port {
	if d.multiport() {
		return nil
	}
	return d.ports[0]
}

// Port returns the port of a name that the host has opened, and waits for the device to say that there is one.
func (d *Device) Port(name string) (*Port, error) {
	return d.find(func(p *Port) bool { return p.name == name && p.told })
}

// PortBefore is Port for one with a lower number than a port that Port has returned. The device speaks of ports in
// their order, so that one which is not open by then has been closed: the host was done with it before the driver
// asked.
func (d *Device) PortBefore(name string) (*Port, error) {
	p, err := d.find(func(p *Port) bool { return p.name == name })
	if err == nil {
		d.life.Lock()
		p.told = true
		d.life.Unlock()
	}
	return p, err
}

func (d *Device) find(is func(*Port) bool) (*Port, error) {
	d.life.Lock()
	defer d.life.Unlock()
	for {
		if err := d.life.Err(); err != nil {
			return nil, err
		}
		for _, p := range d.ports {
			if p.known && is(p) {
				return p, nil
			}
		}
		d.cond.Wait()
	}
}

// Open makes the port ready: in and out are the sizes of its buffers in bytes, 0 if it is for one direction. It
// is called once.
func (p *Port) Open(in, out int) (err error) {
	p.d.life.Lock()
	defer p.d.life.Unlock()
	if err := p.d.life.Err(); err != nil {
		return err
	}
	if in > 0 {
		if p.in.mem, p.in.at, err = p.d.mem.Alloc(in); err != nil {
			return err
		}
		p.in.size = in / p.in.q.Size()
		p.in.of = make([]int, p.in.q.Size())
	}
	if out > 0 {
		if p.out.mem, p.out.at, err = p.d.mem.Alloc(out); err != nil {
			return err
		}
		p.out.size = out / p.out.q.Size()
		p.out.of = make([]sent, p.out.q.Size())
	}
	p.opened = true
	if in > 0 {
		for i := range p.in.q.Size() {
			p.in.post(i)
		}
		p.in.q.Kick()
	}
	if p.d.multiport() {
		p.d.control.send(p.id, portOpen, 1)
	}
	p.serve()
	return p.d.life.Err()
}

// post gives the device a buffer.
func (i *input) post(buffer int) {
	seg := [1]virtio.Segment{{Addr: i.at + uint64(buffer*i.size), Len: uint32(i.size)}}
	if head, ok := i.q.Add(seg[:], 0); ok {
		i.of[head] = buffer
	}
}

// serve takes back what the device has used. Input interrupts again when all of it was read: Read looks for more
// before it waits.
func (p *Port) serve() {
	for p.in.size > 0 {
		head, n, ok := p.in.q.Next()
		if ok {
			p.in.ready = append(p.in.ready, chunk{buffer: p.in.of[head], n: int(n)})
		} else if len(p.in.ready) > 0 || !p.in.q.EnableInterrupts(0) || p.in.q.Err() != nil {
			break
		}
	}
	p.d.end(p.in.q)
	for p.out.size > 0 {
		head, _, ok := p.out.q.Next()
		if ok {
			c := &p.out.of[head]
			c.by.chains--
			c.by.bytes -= c.n
			c.by = nil
		} else if !p.out.q.EnableInterrupts(0) || p.out.q.Err() != nil {
			break
		}
	}
	p.d.end(p.out.q)
}

// Read reads what has come, and waits for it; io.EOF when the host has closed its end and all that it sent was
// read. One goroutine at a time reads.
func (p *Port) Read(b []byte) (n int, err error) {
	p.d.life.Lock()
	defer p.d.life.Unlock()
	for len(p.in.ready) == 0 {
		if err := p.d.life.Err(); err != nil {
			return 0, err
		}
		closed := p.told && !p.hostOpen // bytes come before the message
		p.serve()
		switch {
		case len(p.in.ready) > 0:
		case closed:
			return 0, io.EOF
		default:
			p.d.cond.Wait()
		}
	}
	for n < len(b) && len(p.in.ready) > 0 {
		c := &p.in.ready[0]
		k := copy(b[n:], p.in.mem[c.buffer*p.in.size:][c.off:c.n])
		n += k
		if c.off += k; c.off == c.n {
			p.in.post(c.buffer)
			p.in.ready = p.in.ready[1:]
		}
	}
	p.in.q.Kick()
	return n, nil
}

// Write sends b and returns when the host has taken it all, so that nothing of it is lost if the machine ends
// then; with an error it returns how much the host has taken. The bytes of writes at the same time may mix.
func (p *Port) Write(b []byte) (n int, err error) {
	p.d.life.Lock()
	defer p.d.life.Unlock()
	var t transfer
	for n < len(b) {
		if err := p.failed(); err != nil {
			return n - t.bytes, err
		}
		k := p.out.add(b[n:], &t)
		if n += k; k == 0 {
			p.out.q.Kick()
			p.await()
		}
	}
	p.out.q.Kick()
	for t.chains > 0 {
		if err := p.failed(); err != nil {
			return n - t.bytes, err
		}
		p.await()
	}
	return n, nil
}

// failed returns why nothing can be written. A port that the host never had open is not closed: what is
// written waits, or the host drops it.
func (p *Port) failed() error {
	if err := p.d.life.Err(); err != nil {
		return err
	}
	if p.told && !p.hostOpen {
		return ErrClosed
	}
	return nil
}

// await waits until the device has used something.
func (p *Port) await() {
	if p.out.q.EnableInterrupts(0) {
		p.serve()
		p.d.cond.Broadcast() // it may be another's
		return
	}
	p.d.cond.Wait()
}

// add copies what fits in one buffer, and gives it to the device; 0 if none is free.
func (o *output) add(b []byte, t *transfer) int {
	if o.q.InFlight() == o.q.Size() {
		return 0
	}
	off := int(o.q.NextHead()) * o.size
	n := copy(o.mem[off:][:o.size], b)
	seg := [1]virtio.Segment{{Addr: o.at + uint64(off), Len: uint32(n)}}
	head, ok := o.q.Add(seg[:], 1)
	if !ok {
		return 0
	}
	o.of[head] = sent{t, n}
	t.chains++
	t.bytes += n
	return n
}
