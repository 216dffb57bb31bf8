//go:build !yolk

package wiring

import (
	"sync"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// hostInterrupt is a device interrupt of a HostMachine.
type hostInterrupt struct {
	h    *HostMachine
	came chan struct{} // has room for one
}

func (i *hostInterrupt) raise() {
	select {
	case i.came <- struct{}{}:
	default:
	}
}

func interrupt() (machine.Device, unsafe.Pointer) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	most := h.Vectors
	if most == 0 {
		most = machine.NumDevices
	}
	if len(h.interrupts) >= most {
		return 0, nil
	}
	i := &hostInterrupt{h, make(chan struct{}, 1)}
	h.interrupts = append(h.interrupts, i)
	return machine.Device(len(h.interrupts) - 1), unsafe.Pointer(i)
}

// waitInterrupt ends the goroutine when the machine has stopped.
func waitInterrupt(wait unsafe.Pointer) {
	i := (*hostInterrupt)(wait)
	i.h.mu.Lock()
	//lint:ignore SA2001 Stop, which holds it, has ended
	i.h.mu.Unlock()
	select {
	case <-i.came:
	case <-i.h.stopped:
		end()
	}
}

// Raise sends a device interrupt.
func (h *HostMachine) Raise(d machine.Device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if int(d) < len(h.interrupts) {
		h.interrupts[d].raise()
	}
}

// RaiseVector sends the interrupt of a vector, as a message to the local APIC does.
func (h *HostMachine) RaiseVector(v uint8) {
	if v >= machine.FirstVector && v <= machine.LastVector {
		h.Raise(machine.Device(v - machine.FirstVector))
	}
}

// RaiseGSI raises an interrupt line.
func (h *HostMachine) RaiseGSI(gsi uint32) {
	for _, a := range knownIOAPICs() {
		chip, ok := a.regs.HostRegisters.(*HostIOAPIC)
		if !ok || gsi < a.gsiBase || gsi-a.gsiBase >= a.entries {
			continue
		}
		if e := chip.Entry(int(gsi - a.gsiBase)); e&ioapicMasked == 0 {
			h.RaiseVector(uint8(e))
		}
	}
}

func knownIOAPICs() []ioapic {
	ioapicMu.Lock()
	defer ioapicMu.Unlock()
	return append([]ioapic(nil), ioapics...)
}

// HostIOAPIC is an I/O APIC (Intel 82093AA).
type HostIOAPIC struct {
	mu      sync.Mutex
	reg     uint32
	entries []uint64
}

const ioapicMasked = 1 << 16

// NewHostIOAPIC returns an I/O APIC with so many inputs, all masked.
func NewHostIOAPIC(inputs int) *HostIOAPIC {
	a := &HostIOAPIC{entries: make([]uint64, inputs)}
	for i := range a.entries {
		a.entries[i] = ioapicMasked
	}
	return a
}

// Entry returns the redirection entry of an input (§3.2.4).
func (a *HostIOAPIC) Entry(input int) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entries[input]
}

// Read32 reads the register that was selected.
func (a *HostIOAPIC) Read32(off uintptr) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case off != ioapicData:
		panic("wiring: an I/O APIC has no such register to read")
	case a.reg == ioapicVer:
		return uint32(len(a.entries)-1)<<16 | 0x11
	}
	entry, shift := a.entry()
	return uint32(*entry >> shift)
}

// Write32 selects a register, or writes it.
func (a *HostIOAPIC) Write32(off uintptr, v uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch off {
	case ioapicSelect:
		a.reg = v
	case ioapicData:
		entry, shift := a.entry()
		*entry = *entry&^(0xffffffff<<shift) | uint64(v)<<shift
	default:
		panic("wiring: an I/O APIC has no such register")
	}
}

// entry returns the redirection entry that is selected, and which half of it.
func (a *HostIOAPIC) entry() (entry *uint64, shift int) {
	i := a.reg - ioapicTable
	return &a.entries[i/2], int(i%2) * 32
}

// Registers of an I/O APIC have 32 bits.

func (a *HostIOAPIC) Read8(uintptr) uint8     { panic("wiring: narrow access to an I/O APIC") }
func (a *HostIOAPIC) Read16(uintptr) uint16   { panic("wiring: narrow access to an I/O APIC") }
func (a *HostIOAPIC) Write8(uintptr, uint8)   { panic("wiring: narrow access to an I/O APIC") }
func (a *HostIOAPIC) Write16(uintptr, uint16) { panic("wiring: narrow access to an I/O APIC") }
