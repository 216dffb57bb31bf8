package virtiotest

import (
	"encoding/binary"
	"errors"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// PCI is a Device behind a PCI function (virtio 1.2 §4.1) as QEMU makes it:
// MSI-X table in BAR 1, all virtio structures in the 64-bit BAR 4.
type PCI struct {
	Device *Device
	Space  [256]byte // configuration space; tests may spoil it
	Table  [8][4]uint32

	bars      [6]uint64 // by BAR: size
	common    [64]byte
	vectors   map[int]uint16
	configVec uint16
}

// Addresses and sizes of the BARs.
const (
	msixBAR   = 0xfebd1000
	virtioBAR = 0x8_0000_4000
)

// NewPCI returns a function for dev.
func NewPCI(dev *Device) *PCI {
	p := &PCI{Device: dev, vectors: map[int]uint16{}, configVec: 0xffff}
	s := p.Space[:]
	le := binary.LittleEndian
	le.PutUint16(s[0:], 0x1af4)
	le.PutUint16(s[2:], 0x1040+uint16(dev.Type))
	le.PutUint16(s[6:], 1<<4)
	s[0x34] = 0x84
	p.bars[1], p.bars[4] = 4096, 16384
	le.PutUint32(s[0x14:], msixBAR)
	le.PutUint32(s[0x20:], virtioBAR&0xffffffff|4)
	le.PutUint32(s[0x24:], virtioBAR>>32)
	p.capability(0x84, 0x70, 5, 0, 0, 0) // pci cfg access, not used
	p.capability(0x70, 0x60, 2, 4, 0x3000, 0x1000)
	le.PutUint32(s[0x80:], 4) // notify_off_multiplier
	s[0x72] = 20
	p.capability(0x60, 0x50, 4, 4, 0x2000, 0x1000)
	p.capability(0x50, 0x40, 3, 4, 0x1000, 0x1000)
	p.capability(0x40, 0x98, 1, 4, 0, 0x1000)
	copy(s[0x98:], []byte{0x11, 0, byte(len(p.Table) - 1), 0, 1, 0, 0, 0, 1, 8, 0, 0})
	return p
}

func (p *PCI) capability(at, next, typ, bar byte, off, size uint32) {
	s := p.Space[at:]
	copy(s, []byte{9, next, 16, typ, bar, 0, 0, 0})
	binary.LittleEndian.PutUint32(s[8:], off)
	binary.LittleEndian.PutUint32(s[12:], size)
}

// Read32 reads configuration space.
func (p *PCI) Read32(off int) uint32 {
	if off < 0 || off > 252 || off%4 != 0 {
		panic("virtiotest: access outside configuration space")
	}
	return binary.LittleEndian.Uint32(p.Space[off:])
}

// Write32 writes configuration space: the command register, the BARs and the
// MSI-X control are writable.
func (p *PCI) Write32(off int, v uint32) {
	at := p.Space[off:]
	switch {
	case off == 4:
		binary.LittleEndian.PutUint16(at, uint16(v))
	case off >= 0x10 && off < 0x28:
		p.writeBAR((off-0x10)/4, v)
	case off == 0x98:
		binary.LittleEndian.PutUint32(at, p.Read32(off)&0x3fffffff|v&0xc0000000)
	default:
		panic("virtiotest: write to read-only configuration space")
	}
}

func (p *PCI) writeBAR(i int, v uint32) {
	if p.Space[4]&2 != 0 {
		panic("virtiotest: BAR changed while memory decoding is on")
	}
	mask := uint32(p.bars[i] - 1)
	flags := p.Read32(0x10+4*i) & 0xf
	if i > 0 && p.Read32(0x10+4*(i-1))&7 == 4 {
		mask, flags = uint32((p.bars[i-1]-1)>>32), 0
	} else if p.bars[i] == 0 {
		mask = 0xffffffff
	}
	binary.LittleEndian.PutUint32(p.Space[0x10+4*i:], v&^mask|flags)
}

// Map maps a part of a BAR (pci.Map).
func (p *PCI) Map(phys, size uint64) (virtio.Registers, error) {
	for _, b := range []struct{ at, size uint64 }{{msixBAR, p.bars[1]}, {virtioBAR, p.bars[4]}} {
		if phys >= b.at && phys+size <= b.at+b.size && phys+size > phys {
			return &bar{p, phys, uintptr(size)}, nil
		}
	}
	return nil, errors.New("virtiotest: mapping of what is no BAR of this device")
}

// Command returns the command register.
func (p *PCI) Command() uint16 { return binary.LittleEndian.Uint16(p.Space[4:]) }

// MSIXEnabled reports whether MSI-X is on and not masked.
func (p *PCI) MSIXEnabled() bool { return p.Read32(0x98)>>30 == 2 }

// QueueVector returns the MSI-X vector of a queue.
func (p *PCI) QueueVector(i int) uint16 { return p.vectors[i] }

// ConfigVector returns the MSI-X vector of configuration changes.
func (p *PCI) ConfigVector() uint16 { return p.configVec }
