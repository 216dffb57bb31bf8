// Package runtime is what a program may ask of the virtual machine that it is:
// memory, CPUs, devices, command line, power; network cards, registers and memory for DMA
// for drivers of its own. A program imports it only if it wants to know; nothing else
// needs it. On other systems than yolk, Running reports false, the functions return zero
// values, and those that return an error return ErrNotMachine.
//
// The folder also holds the port of Go's own runtime (goroot), what joins it with the
// kernel and the drivers (wiring), and what both sides compile (machine): see
// docs/architecture.md.
package runtime

import "errors"

// ErrNotMachine says that the program runs on an ordinary operating system.
var ErrNotMachine = errors.New("not a yolk machine: build with GOOS=tamago and boot the program with yolk run")

// A Device is a virtio device of the machine.
type Device struct {
	Name     string // such as "virtio0", in the order in which they were found
	Kind     string // "net", "entropy", "block", ... or "type N" (virtio 1.2 §5)
	Location string // such as "mmio 0xfeb00e00" or "pci 00:02.0"
}
