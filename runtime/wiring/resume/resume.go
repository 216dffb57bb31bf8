// Package resume serves a machine that goes on from a saved state: it finds what the VMM
// changes then (VMGenID, VMClock), brings fresh entropy, and calls those who keep secrets of
// their own: the network stack and the program. It is linked into programs that link
// crypto's randomness, this module's package runtime or the network, and initialises before
// the program's packages. What cannot wait, the machine half does: machine_resume.go of
// package runtime. docs/randomness.md has the whole picture.
//
// Start reading at start.
package resume

import (
	"encoding/binary"
	_ "unsafe" // for linkname

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
	"github.com/yolk-unikernel/yolk/runtime/wiring/entropy"
)

func init() { start() }

func start() {
	devices.UsePowerSwitch()
	irq := wiring.NewInterrupt()
	if irq == nil {
		return // no vector is left, on a machine with more than 90 devices
	}
	wiring.NoticeResume(irq)
	go serve(irq)
	tables, err := devices.ACPI().Resume()
	if err != nil {
		wiring.Kernel.Log(err.Error())
	}
	if tables.Generation != 0 {
		watchGeneration(tables)
	}
	if c := tables.Clock; c != nil {
		for _, at := range clockWords(c) {
			wiring.Watch(at)
		}
	}
}

// serve does for each resume what the machine half cannot do. The program's functions have
// a goroutine of their own: they may take long, and need not return.
func serve(irq *wiring.Interrupt) {
	resumed := make(chan struct{}, 1) // more at once are one
	defer close(resumed)
	go func() {
		for range resumed {
			program.Call()
		}
	}()
	for {
		irq.Wait()
		entropy.Reseed()
		wiring.Reseed()
		wiring.Resumed.Call()
		select {
		case resumed <- struct{}{}:
		default:
		}
	}
}

// program has the functions of the program.
var program wiring.Functions

// OnResume is OnResume of the module's package runtime.
//
//go:linkname OnResume
func OnResume(f func()) { program.Add(f) }

// watchGeneration watches the 16 bytes of VMGenID, and has their change interrupt.
func watchGeneration(tables acpi.Resume) {
	at := tables.Generation
	if wiring.MemoryAt(at, 16) == nil || !wiring.Watch(at) || !wiring.Watch(at+8) {
		wiring.Kernel.Log("VMGenID is where no memory is: a resume is noticed by the clock alone")
		return
	}
	e, b := tables.Event, devices.ACPI().Button()
	if e == nil || b == nil {
		return // the next interrupt finds it
	}
	wiring.OutByte(e.Status, e.Mask)
	wiring.OutByte(e.Enable, wiring.InByte(e.Enable)|e.Mask)
	if err := devices.ServeSCI(b, func() { wiring.OutByte(e.Status, e.Mask) }); err != nil {
		wiring.Kernel.Log("a resume does not interrupt: " + err.Error())
	}
}

// Fields of struct vmclock_abi (Linux: include/uapi/linux/vmclock-abi.h), version 1, by
// their offset.
const (
	clockMagic      = 0x00 // 32 bits: "VCLK"
	clockVersion    = 0x08 // 16 bits
	clockDisruption = 0x10 // 64 bits: changes when the counter is disrupted, as by a migration
	clockFlags      = 0x18 // 64 bits
	clockGeneration = 0x68 // 64 bits: changes when the machine is loaded from a saved state
	clockSize       = 0x70

	clockHasGeneration = 1 << 8
)

// clockWords returns the addresses of what changes in a VMClock when the machine goes on from a
// saved state.
func clockWords(c *acpi.Region) (list []uint64) {
	if c.Size < clockSize {
		return nil
	}
	b := wiring.MemoryAt(c.Address, clockSize)
	if b == nil || string(b[clockMagic:][:4]) != "VCLK" || binary.LittleEndian.Uint16(b[clockVersion:]) != 1 {
		return nil
	}
	list = append(list, c.Address+clockDisruption)
	if binary.LittleEndian.Uint64(b[clockFlags:])&clockHasGeneration != 0 {
		list = append(list, c.Address+clockGeneration)
	}
	return list
}
