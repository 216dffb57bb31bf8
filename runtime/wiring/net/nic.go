package net

import (
	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

// nic joins a virtio-net device and a link of the stack: it is the link's NIC
// and the device's Handler.
type nic struct {
	card devices.Card
	dev  *virtionet.Device
	t    virtio.Transport
	link *netstack.Link
	bufs []*netstack.RxBuffer // of the packet being passed up
	free []*netstack.RxBuffer // with fresh memory
}

func openNIC(c devices.Card) (*nic, error) {
	t, err := c.OpenShared()
	if err != nil {
		return nil, err
	}
	n := &nic{card: c, t: t}
	n.dev, err = virtionet.New(t, devices.DMA{}, n, virtionet.Options{})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Info is netstack.NIC's.
func (n *nic) Info() netstack.NICInfo {
	i := n.dev.Info()
	return netstack.NICInfo{MAC: i.MAC, MTU: i.MTU, TSO4: i.Offloads.TxTSO4, TSO6: i.Offloads.TxTSO6}
}

// Start is netstack.NIC's: interrupts are served from now on.
func (n *nic) Start(l *netstack.Link) {
	n.link = l
	n.card.Serve(n.dev.HandleInterrupt)
}

// close gives the device up.
func (n *nic) close() error {
	n.dev.Close()
	if n.t.Status() != 0 {
		return virtio.ErrReset // it may write to the buffers for ever
	}
	return nil
}

// Send is netstack.NIC's.
func (n *nic) Send(f *netstack.Frame) bool {
	var h virtionet.Header
	if o := &f.Offload; o.NeedsChecksum {
		h.Flags = virtionet.NeedsChecksum
		h.ChecksumStart, h.ChecksumOffset = o.ChecksumStart, o.ChecksumOffset
		h.GSO, h.SegmentSize, h.HeaderLen = o.GSOType, o.GSOSize, o.HeaderLen
	}
	switch err := n.dev.Send(h, f.Parts, f); err {
	case nil:
		return true
	case virtionet.ErrFull:
		return false
	}
	f.Done() // cannot be sent at all
	return true
}

// Kick is netstack.NIC's.
func (n *nic) Kick() { n.dev.Kick() }

// Buffer is virtionet.Handler's, as all that follow.
func (n *nic) Buffer() ([]byte, any) {
	var b *netstack.RxBuffer
	if last := len(n.free) - 1; last >= 0 {
		b = n.free[last]
		n.free = n.free[:last]
	} else {
		b = netstack.NewRxBuffer()
	}
	return b.Bytes(), b
}

// Free takes back an unused buffer.
func (n *nic) Free(owner any) { n.free = append(n.free, owner.(*netstack.RxBuffer)) }

// Receive passes packets up.
func (n *nic) Receive(packets []virtionet.Packet) {
	for i := range packets {
		p := &packets[i]
		n.bufs = n.bufs[:0]
		for _, b := range p.Buffers {
			n.bufs = append(n.bufs, b.Owner.(*netstack.RxBuffer))
		}
		first := p.Buffers[0]
		off := cap(n.bufs[0].Bytes()) - cap(first.Data)
		checked := p.Header.Flags&(virtionet.DataValid|virtionet.NeedsChecksum) != 0
		n.link.Receive(n.bufs, off, p.Len, checked)
		n.free = append(n.free, n.bufs...)
	}
}

// Sent gives a sent frame back.
func (n *nic) Sent(owner any) { owner.(*netstack.Frame).Done() }

// Writable says that the ring has space again.
func (n *nic) Writable() { n.link.TxReady() }

// LinkChanged warns of a pulled cable.
func (n *nic) LinkChanged(up bool) {
	if !up {
		wiring.Kernel.Log(n.card.Name + ": link is down")
	}
}

// Failed logs why the device is gone.
func (n *nic) Failed(err error) { wiring.Kernel.Log(n.card.Name + ": device failed: " + err.Error()) }
