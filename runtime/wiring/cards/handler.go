package cards

import virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"

// handler is a Card as the driver knows its user.
type handler struct{ c *Card }

var _ virtionet.Handler = handler{}

// Buffer gives the driver memory to receive into.
func (h handler) Buffer() ([]byte, any) {
	if b := h.c.takeBuffer(); b != nil {
		return b.mem, b
	}
	return nil, nil
}

// Free takes back an unused buffer.
func (h handler) Free(owner any) { h.c.putBuffer(owner.(*buffer)) }

// Receive queues frames for Card.Receive.
func (h handler) Receive(packets []virtionet.Packet) {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range packets {
		c.queue(&packets[i])
	}
	c.received.Signal()
}

// Sent gives back the memory of a frame that the device has read.
func (h handler) Sent(owner any) { h.c.sent(owner.(*sent)) }

// Writable says that the ring has room again.
func (h handler) Writable() {
	c := h.c
	c.mu.Lock()
	c.writable.Add(1)
	c.room.Broadcast()
	c.mu.Unlock()
}

// LinkChanged is for those who ask: LinkUp.
func (h handler) LinkChanged(bool) {}

// Failed says that the device is gone.
func (h handler) Failed(err error) { h.c.end(err) }
