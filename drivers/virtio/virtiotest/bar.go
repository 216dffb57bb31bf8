package virtiotest

import (
	"encoding/binary"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// bar is a mapped part of a BAR of a PCI function.
type bar struct {
	p    *PCI
	phys uint64
	size uintptr
}

// at returns where an access goes: 0 the MSI-X table, 1 to 4 the structures
// common, ISR, device and notify; and the offset there.
func (b *bar) at(off, n uintptr) (region int, o uintptr) {
	if off+n > b.size || off%n != 0 {
		panic("virtiotest: access outside a mapping or unaligned")
	}
	if b.p.Space[4]&2 == 0 {
		panic("virtiotest: access while memory decoding is off")
	}
	a := b.phys + uint64(off)
	if a < virtioBAR {
		return 0, uintptr(a - msixBAR)
	}
	a -= virtioBAR
	return 1 + int(a/0x1000), uintptr(a % 0x1000)
}

func (b *bar) read(off, n uintptr) uint32 {
	region, o := b.at(off, n)
	switch region {
	case 0:
		return b.p.Table[o/16][o/4%4]
	case 1:
		return b.p.readCommon(o, n)
	case 2:
		return uint32(b.p.Device.Acknowledge())
	case 3:
		c := b.p.Device.Config()
		switch n {
		case 1:
			return uint32(c.Read8(o))
		case 2:
			return uint32(c.Read16(o))
		}
		return c.Read32(o)
	}
	panic("virtiotest: read of the notification structure")
}

func (b *bar) write(off, n uintptr, v uint32) {
	region, o := b.at(off, n)
	switch region {
	case 0:
		b.p.Table[o/16][o/4%4] = v
	case 1:
		b.p.writeCommon(o, n, v)
	case 4:
		if o/4 != uintptr(v) {
			panic("virtiotest: notification at the wrong address")
		}
		b.p.Device.Notify(int(v))
	default:
		panic("virtiotest: write to a read-only structure")
	}
}

// width panics unless an access has the width of its field (§4.1.3.1).
func width(o, n uintptr) {
	want := uintptr(4)
	switch {
	case o == 20 || o == 21:
		want = 1
	case o >= 16 && o < 32:
		want = 2
	}
	if n != want {
		panic("virtiotest: access with the wrong width to the common structure")
	}
}

func (p *PCI) queue() int { return int(binary.LittleEndian.Uint16(p.common[22:])) }

func (p *PCI) readCommon(o, n uintptr) uint32 {
	width(o, n)
	d := p.Device
	switch o {
	case 4:
		return uint32(d.Features() >> (32 * p.common[0]))
	case 16:
		return uint32(p.configVec)
	case 18:
		return uint32(len(d.Queues))
	case 20:
		return uint32(d.Status())
	case 21:
		return d.ConfigGeneration() & 0xff
	case 24:
		return uint32(d.QueueMax(p.queue()))
	case 26:
		return uint32(p.vectors[p.queue()])
	case 28:
		if d.Queues[p.queue()].Ready {
			return 1
		}
		return 0
	case 30:
		return uint32(p.queue())
	}
	panic("virtiotest: unexpected read of the common structure")
}

func (p *PCI) writeCommon(o, n uintptr, v uint32) {
	width(o, n)
	le := binary.LittleEndian
	switch n {
	case 4:
		le.PutUint32(p.common[o:], v)
	case 2:
		le.PutUint16(p.common[o:], uint16(v))
	}
	switch o {
	case 12:
		f := p.Device.Accepted()
		shift := 32 * p.common[8]
		p.Device.SetFeatures(f&^(0xffffffff<<shift) | uint64(v)<<shift)
	case 16:
		p.configVec = p.vector(v)
	case 20:
		p.Device.SetStatus(uint8(v))
	case 26:
		p.vectors[p.queue()] = p.vector(v)
	case 28:
		p.Device.SetQueue(p.queue(), virtio.Rings{
			Size:  int(le.Uint16(p.common[24:])),
			Desc:  le.Uint64(p.common[32:]),
			Avail: le.Uint64(p.common[40:]),
			Used:  le.Uint64(p.common[48:]),
		})
	}
}

// vector returns v, or NO_VECTOR if the table has no such entry.
func (p *PCI) vector(v uint32) uint16 {
	if int(v) >= len(p.Table) {
		return 0xffff
	}
	return uint16(v)
}

func (b *bar) Read8(off uintptr) uint8       { return uint8(b.read(off, 1)) }
func (b *bar) Read16(off uintptr) uint16     { return uint16(b.read(off, 2)) }
func (b *bar) Read32(off uintptr) uint32     { return b.read(off, 4) }
func (b *bar) Write8(off uintptr, v uint8)   { b.write(off, 1, uint32(v)) }
func (b *bar) Write16(off uintptr, v uint16) { b.write(off, 2, uint32(v)) }
func (b *bar) Write32(off uintptr, v uint32) { b.write(off, 4, v) }
