// Command machine prints the virtual machine's memory, CPUs, devices and the command line from the VMM.
// Then it powers off. On other systems than yolk it says so and prints what it can.
//
//	yolk run -m 64M -smp 2 ./examples/machine
package main

import (
	"fmt"

	machine "github.com/yolk-unikernel/yolk/runtime"
)

const mib = 1 << 20

func main() {
	total, free := machine.Memory()
	fmt.Printf("memory   %d MiB, %d MiB free\n", total/mib, free/mib)
	fmt.Printf("CPUs     %d\n", machine.CPUs())
	fmt.Printf("started  with %q\n", machine.CommandLine())
	for _, d := range machine.Devices() {
		fmt.Printf("device   %-12s %-16s at %s\n", d.Name, d.Kind, d.Location)
	}
	if err := machine.PowerOff(); err != nil {
		fmt.Println(err)
	}
}
