//go:build !yolk

package wiringtest

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

type cause = virtio.Cause

// bus is PCI bus 0 behind the ports of configuration mechanism 1 (PCI Local Bus 3.0
// §3.2.2.3.2), before the machine's other ports.
type bus struct {
	m     *Machine
	other wiring.HostPorts

	mu      sync.Mutex
	address uint32
	slots   [32]*virtiotest.PCI
}

const (
	pciAddress    = 0xcf8
	pciData       = 0xcfc
	interruptLine = 0x3c
)

// AddPCI puts a function in a slot of PCI bus 0. One without MSI-X interrupts by the ISA
// interrupt line, which its configuration space names. There can be one virtio function:
// virtiotest has all at the same addresses.
func (m *Machine) AddPCI(slot int, f *virtiotest.PCI, line uint8) {
	if m.bus == nil {
		m.bus = &bus{m: m, other: m.Ports}
		m.Ports = m.bus
		m.MapIO = m.bus.mapIO
	}
	f.Space[interruptLine] = line
	m.bus.slots[slot] = f
	if f.Device != nil {
		f.Device.Raised = func(cause) { m.bus.raise(f) }
	}
}

// raise sends all messages of a function, which may be spurious, or raises its line.
func (b *bus) raise(f *virtiotest.PCI) {
	if f.Command()&0x400 == 0 { // interrupt disable: see pci.Open
		b.m.RaiseGSI(uint32(f.Space[interruptLine]))
		return
	}
	for _, e := range f.Table {
		if e[0] == 0xfee00000|b.m.Boot.BootAPIC<<12 && e[3]&1 == 0 {
			b.m.RaiseVector(uint8(e[2]))
		}
	}
}

func (b *bus) mapIO(phys uint64, n int) wiring.HostRegisters {
	for _, f := range b.slots {
		if f == nil {
			continue
		}
		if r, err := f.Map(phys, uint64(n)); err == nil {
			return r
		}
	}
	return nil
}

// function returns the function that the address register names (enable, bus, device,
// function), nil if there is none.
func (b *bus) function() *virtiotest.PCI {
	if b.address>>31 == 0 || b.address&0x7fff0700 != 0 {
		return nil
	}
	return b.slots[b.address>>11&31]
}

func (b *bus) In(port uint16, bits int) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if port == pciData && bits == 32 {
		if f := b.function(); f != nil {
			return f.Read32(int(b.address & 0xfc))
		}
		return ^uint32(0)
	}
	if b.other != nil {
		return b.other.In(port, bits)
	}
	return ^uint32(0)
}

func (b *bus) Out(port uint16, bits int, v uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case port == pciAddress && bits == 32:
		b.address = v
	case port == pciData && bits == 32:
		if f := b.function(); f != nil {
			f.Write32(int(b.address&0xfc), v)
		}
	case b.other != nil:
		b.other.Out(port, bits, v)
	}
}
