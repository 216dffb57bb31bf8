//go:build yolk

package runtime

import (
	"os"
	"strconv"
	"syscall"
	_ "unsafe" // for linkname
)

//go:linkname memory runtime/yolk/wiring.Memory
func memory() (total, free uint64)

//go:linkname cpus runtime/yolk/wiring.CPUs
func cpus() int

//go:linkname words runtime/yolk/wiring.CommandLine
func words() string

//go:linkname devices runtime/yolk/wiring/devices.List
func devices() (types []uint32, locations []string)

//go:linkname mapPhysical runtime/yolk/wiring.MapPhysical
func mapPhysical(phys uint64, n int) ([]byte, syscall.Errno)

//go:linkname allocDMA runtime/yolk/wiring.AllocDMA
func allocDMA(n int) ([]byte, uint64, syscall.Errno)

//go:linkname onResume runtime/yolk/wiring/resume.OnResume
func onResume(f func())

// listNICs returns the network cards: each is a machineNIC.
//
//go:linkname listNICs runtime/yolk/wiring/cards.List
func listNICs() []any

// Running reports whether the program runs on a yolk machine.
func Running() bool { return true }

// Memory returns the RAM and the part of it that nothing uses, in bytes.
func Memory() (total, free uint64) { return memory() }

// CPUs returns how many CPUs the machine has.
func CPUs() int { return cpus() }

// CommandLine returns the command line as the VMM gave it.
func CommandLine() string { return words() }

// Devices returns the virtio devices.
func Devices() []Device {
	types, locations := devices()
	var list []Device
	for i, t := range types {
		kind := kinds[t]
		if kind == "" {
			kind = "type " + strconv.Itoa(int(t))
		}
		list = append(list, Device{Name: "virtio" + strconv.Itoa(i), Kind: kind, Location: locations[i]})
	}
	return list
}

// PowerOff ends the machine with exit status 0. It returns only with an error.
func PowerOff() error {
	os.Exit(0)
	return nil
}

// kinds names the device types of virtio 1.2 §5.
var kinds = map[uint32]string{1: "net", 2: "block", 3: "console", 4: "entropy", 5: "balloon", 9: "9p", 19: "vsock"}
