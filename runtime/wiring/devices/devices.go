// Package devices finds the machine's virtio devices and gives their drivers
// what drivers need: registers, DMA memory, interrupts. Every program has it, with package streams.
//
// Start reading at Devices.
package devices

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/yolk-unikernel/yolk/boot"
	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/mmio"
	virtiopci "github.com/yolk-unikernel/yolk/drivers/virtio/pci"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// Device is a virtio device that was found. Open starts its transport.
type Device struct {
	Type     virtio.DeviceType
	Location string // such as "mmio 0xfeb00000" or "pci 00:02.0"

	mmio  *mmio.Device
	gsi   uint32
	pci   pciConfig
	isPCI bool

	claim  claim
	opened opened
	inUse  atomic.Pointer[inUse]
}

var (
	found    []*Device
	findOnce sync.Once
)

// Devices returns the machine's virtio devices: those that the command line
// names (virtio_mmio.device=SIZE@ADDRESS:GSI, as microvm without ACPI passes
// them) or that ACPI lists; without any, those on PCI bus 0.
func Devices() []*Device {
	findOnce.Do(func() {
		findMMIO(ACPI().Virtio)
		if len(found) == 0 {
			findPCI()
		}
	})
	return found
}

// FindDevices returns the devices of one type.
func FindDevices(t virtio.DeviceType) []*Device {
	var list []*Device
	for _, d := range Devices() {
		if d.Type == t {
			list = append(list, d)
		}
	}
	return list
}

func findMMIO(listed []acpi.VirtioMMIO) {
	list := wiring.Words("virtio_mmio.device=")
	for _, spec := range list {
		addr, gsi, ok := parseMMIO(spec)
		if !ok {
			wiring.Kernel.Log("virtio_mmio.device=" + spec + ": expected SIZE@ADDRESS:GSI")
			continue
		}
		addMMIO(addr, gsi)
	}
	if len(list) == 0 {
		for _, d := range listed {
			addMMIO(d.Address, d.GSI)
		}
	}
}

func parseMMIO(spec string) (addr uint64, gsi uint32, ok bool) {
	_, at, ok1 := strings.Cut(spec, "@")
	addr, rest, ok2 := boot.CutNumber([]byte(at), math.MaxUint64)
	rest, ok3 := boot.CutPrefix(rest, ":")
	n, rest, ok4 := boot.CutNumber(rest, math.MaxUint32)
	ok = ok1 && ok2 && ok3 && ok4 && (len(rest) == 0 || rest[0] == ':')
	return addr, uint32(n), ok
}

func addMMIO(addr uint64, gsi uint32) {
	d, err := mmio.Probe(wiring.MapRegisters(addr, 512))
	if err == mmio.ErrEmpty {
		return // a slot without a device
	}
	location := "mmio 0x" + strconv.FormatUint(addr, 16)
	if err != nil {
		wiring.Kernel.Log("virtio-" + location + ": " + err.Error())
		return
	}
	found = append(found, &Device{Type: d.DeviceType(), Location: location, mmio: d, gsi: gsi})
}

func findPCI() {
	for slot := range uint32(32) {
		c := pciConfig(slot << 11)
		if t, ok := virtiopci.Type(c); ok {
			found = append(found, &Device{Type: t, Location: "pci 00:" + strconv.FormatUint(uint64(slot), 16) + ".0", pci: c, isPCI: true})
		}
	}
}

// pciConfig is the configuration space of a function of bus 0, by mechanism 1
// of PCI Local Bus 3.0 §3.2.2.3.2 (I/O ports 0xcf8 and 0xcfc). Where there is
// no such bus it reads as ones. TamaGo's driver cannot serve: docs/libraries.md.
type pciConfig uint32

const (
	pciAddress = 0xcf8
	pciData    = 0xcfc
	pciEnable  = 1 << 31
	pciLastBAR = 0x24
)

// pciMu is held from the choice of a register to its access.
var pciMu sync.Mutex

func (c pciConfig) Read32(off int) uint32 {
	pciMu.Lock()
	c.choose(off)
	v := wiring.InLong(pciData)
	pciMu.Unlock()
	return v
}

func (c pciConfig) Write32(off int, v uint32) {
	pciMu.Lock()
	c.choose(off)
	if off <= pciLastBAR {
		wiring.OutLongAlone(pciData, v) // the command register and the BARs move registers
	} else {
		wiring.OutLong(pciData, v)
	}
	pciMu.Unlock()
}

// choose says which register the data port shows. pciMu is held.
func (c pciConfig) choose(off int) {
	wiring.OutLong(pciAddress, pciEnable|uint32(c)|uint32(off)&0xfc)
}

// Open connects the device's interrupt and returns its transport. The interrupt
// is served by a goroutine that calls HandleInterrupt of the started device.
func (d *Device) Open() (virtio.Transport, []*wiring.Interrupt, error) { return d.open(1) }

// OpenQueues is Open for a device with n queues, or more. If it returns several
// interrupts, the first is for changes of configuration and the others each for a
// queue, the last one for all that are left.
func (d *Device) OpenQueues(n int) (virtio.Transport, []*wiring.Interrupt, error) {
	return d.open(1 + n)
}

func (d *Device) open(n int) (virtio.Transport, []*wiring.Interrupt, error) {
	if !d.isPCI {
		irq := wiring.RouteGSI(d.gsi, false)
		if irq == nil {
			return nil, nil, ErrNoInterrupt
		}
		irqs := []*wiring.Interrupt{irq}
		d.inUse.Store(&inUse{d.mmio, irqs})
		return d.mmio, irqs, nil
	}
	var irqs []*wiring.Interrupt
	var msgs []virtiopci.Message
	for range n {
		irq := wiring.NewInterrupt()
		if irq == nil {
			break
		}
		irqs = append(irqs, irq)
		msgs = append(msgs, virtiopci.Message{Address: 0xfee00000 | uint64(wiring.APICID())<<12, Data: irq.Vector()})
	}
	t, err := virtiopci.Open(d.pci, mapPCI, msgs)
	if err != nil {
		return nil, nil, err
	}
	if irqs = irqs[:t.Vectors()]; len(irqs) == 0 {
		irq := d.pci.line()
		if irq == nil {
			return nil, nil, ErrNoInterrupt
		}
		irqs = append(irqs, irq)
	}
	d.inUse.Store(&inUse{t, irqs})
	return t, irqs, nil
}

// linesTaken has a bit for each ISA interrupt that a function uses.
var linesTaken atomic.Uint32

// line connects a function's INTx line, for one without MSI-X, such as QEMU's
// balloon. The firmware has routed it to an ISA interrupt and left the number in
// the interrupt line register (PCI Local Bus 3.0 §6.2.4). The line falls when the
// driver reads the cause, so an edge is enough; two functions cannot share one.
func (c pciConfig) line() *wiring.Interrupt {
	const interruptLine = 0x3c
	n := c.Read32(interruptLine) & 0xff
	if n == 0 || n > 15 || linesTaken.Or(1<<n)&(1<<n) != 0 {
		return nil
	}
	return wiring.RouteGSI(ACPI().GSI(uint8(n)), false)
}

// ErrNoInterrupt means that a device cannot say when it has something.
const ErrNoInterrupt = virtio.Error("the device has no interrupt that can be used (an I/O APIC line of its own, or MSI-X)")

// MSI-X messages go to one CPU's local APIC (Intel SDM volume 3, §11.11).

func mapPCI(phys, size uint64) (virtio.Registers, error) {
	return wiring.MapRegisters(phys, int(size)), nil
}

// DMA is memory for devices.
type DMA struct{}

// Alloc returns zeroed, page-aligned, physically contiguous memory.
func (DMA) Alloc(size int) (mem []byte, phys uint64, err error) {
	mem, phys = wiring.Contiguous(size)
	if mem == nil {
		return nil, 0, errNoMemory
	}
	return mem, phys, nil
}

// Phys returns the physical address of a byte, which it makes resident first.
func (DMA) Phys(p unsafe.Pointer) uint64 {
	phys := wiring.Physical(p)
	if phys == 0 {
		touch(p)
		phys = wiring.Physical(p)
	}
	return phys
}

// touch makes the page of p resident: the first access maps it.
//
//go:noinline
func touch(p unsafe.Pointer) byte { return *(*byte)(p) }

// Touch writes to each page of b what is there: it becomes resident, and memory
// that may not be written faults here, as if the kernel copied to it; a device
// would not ask.
func Touch(b []byte) {
	for len(b) > 0 {
		p := unsafe.Pointer(unsafe.SliceData(b))
		word := unsafe.Add(p, -int(uintptr(p)%4))
		(*atomic.Uint32)(word).Or(0)
		b = b[min(len(b), virtio.PageSize-int(uintptr(p)%virtio.PageSize)):]
	}
}

const errNoMemory = virtio.Error("no physically contiguous memory left")

// List returns type and location of each device, for programs that ask through
// the module's package runtime.
//
//go:linkname List
func List() (types []uint32, locations []string) {
	for _, d := range Devices() {
		types = append(types, uint32(d.Type))
		locations = append(locations, d.Location)
	}
	return types, locations
}
