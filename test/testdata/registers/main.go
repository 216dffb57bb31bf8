// Command registers reads a device's register on all CPUs while the registers of another device are
// unmapped and mapped again, as when a PCI device is opened.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/yolk/wiring"
	"runtime/yolk/wiring/devices"
	"sync/atomic"
)

const (
	entropyDevice = 4          // virtio 1.2 §5.4
	hpetID        = 0xfed00000 // IA-PC HPET 1.0a, 2.3.4
)

func main() {
	list := devices.FindDevices(entropyDevice)
	if len(list) != 1 {
		fmt.Println("entropy devices:", len(list))
		os.Exit(1)
	}
	hpet := wiring.MapRegisters(hpetID, 4)
	want := hpet.Read32(0)
	if want == 0 || want == 0xffffffff {
		fmt.Println("no HPET")
		os.Exit(1)
	}
	var rounds, wrong atomic.Uint64
	for range runtime.NumCPU() - 1 {
		go func() {
			for {
				for _, id := range readMany(hpet) {
					if id != want {
						wrong.Add(1)
					}
				}
				rounds.Add(1)
			}
		}()
	}
	for range 300 {
		list[0].Open() // fails when the interrupts are used up, but the registers have moved
		for n := rounds.Load(); rounds.Load() < n+10; {
			runtime.Gosched()
		}
	}
	if wrong.Load() > 0 {
		fmt.Println("read wrong", wrong.Load(), "times")
		os.Exit(1)
	}
	fmt.Println("read right")
}

// readMany reads without a branch in between: an emulator applies other CPUs' changes at branches.
func readMany(r wiring.Registers) [32]uint32 {
	return [...]uint32{
		r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0),
		r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0),
		r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0),
		r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0), r.Read32(0),
	}
}
