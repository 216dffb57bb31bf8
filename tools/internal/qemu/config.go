// Package qemu runs one yolk image in one QEMU: it turns a [Config] into the command line, starts
// the process so that it cannot outlive its parent, and connects the guest's console, exit status
// and the request to stop. QEMU's own messages are separated from the console and turned into
// errors with advice. The options are those of the QEMU manual, "Invocation"; version 6 and newer
// have all of them. Start with [Config.CommandLine] and [Start].
package qemu

import (
	"fmt"
	"strconv"
	"strings"
)

// Binary is the VMM's program name.
const Binary = "qemu-system-x86_64"

// MinMemory is the smallest RAM a guest can have, in bytes.
const MinMemory = 16 << 20

// Machines are the machine types that an image boots on. The first is the default.
var Machines = []string{"microvm", "q35", "pc"}

// Config is one virtual machine.
type Config struct {
	Machine  string // one of Machines
	KVM      bool   // use KVM; TCG (emulation) otherwise
	Memory   int64  // bytes
	CPUs     int
	Kernel   string    // the image
	Append   string    // kernel command line, which all users of the host see
	Initrd   string    // initial files as a cpio archive, or ""
	Nets     []Net     // networks of the guest's cards, in order
	Forwards []Forward // forwarded ports of the network of kind NetUser
	Folders  []Folder
	Disks    []Disk
	IP       IP // the guest's address; the zero value is DHCP
	GDB      Debugger
	Name     string
	Monitor  string // path of the socket for QEMU's monitor, or ""
	Confined Confinement
	Extra    []string // further QEMU arguments

	crashFD int // the descriptor of a monitor that reports a crash, or 0
	passtFD int // the descriptor of the connection with passt, or 0
	ports   []lentPort
}

// These are I/O ports of the two status devices. The debug console (port 0xe9) takes the line
// "exit N"; isa-debug-exit ends QEMU at once, but QEMU's exit status has its value only modulo
// 128.
const (
	statusPort = "0xe9"
	exitPort   = "0xf4"
)

// CommandLine returns a command line for a shell: the console is the terminal, and the exit status
// line goes to standard error.
func (c *Config) CommandLine() []string {
	return append([]string{Binary}, c.args("/dev/stderr", c.Initrd)...)
}

// args connects the guest's status port to the file status.
func (c *Config) args(status, initrd string) []string {
	a := []string{
		"-M", c.machineOptions(),
		"-accel", c.accel(),
		"-cpu", c.cpu(),
		"-m", fmt.Sprintf("%dM", (c.Memory+1<<20-1)>>20),
		"-smp", c.smp(),
		"-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none",
		"-chardev", "stdio,id=console,signal=off",
		"-serial", "chardev:console",
		"-chardev", "file,id=status,path=" + escape(status),
		"-device", "isa-debugcon,iobase=" + statusPort + ",chardev=status",
		"-device", "isa-debug-exit,iobase=" + exitPort + ",iosize=0x04",
	}
	if c.Name != "" {
		a = append(a, "-name", escape(c.Name))
	}
	if c.Machine == "microvm" {
		// microvm's virtio-mmio transports are legacy ones by default.
		a = append(a, "-global", "virtio-mmio.force-legacy=false")
	} else {
		a = append(a, "-device", "vmgenid,guid=auto") // tells the guest that it goes on from a saved state
	}
	a = append(a, "-device", c.virtio("rng", ""))
	a = append(a, "-device", c.virtio("balloon", ",free-page-reporting=on"))
	a = append(a, c.portArgs()...)
	a = append(a, c.networks()...)
	for i := range c.Folders {
		a = append(a, c.folder(i)...)
	}
	for i := range c.Disks {
		a = append(a, c.disk(i)...)
	}
	a = append(a, c.GDB.args()...)
	if c.Monitor != "" {
		a = append(a, monitor("monitor", "server=on,wait=off,path="+escape(c.Monitor))...)
	}
	if c.crashFD != 0 {
		a = append(a, crashArgs(c.crashFD)...)
	}
	a = append(a, c.Confined.args()...)
	a = append(a, c.Extra...)
	a = append(a, "-kernel", c.Kernel)
	if initrd != "" {
		a = append(a, "-initrd", initrd)
	}
	if c.Append != "" {
		a = append(a, "-append", c.Append)
	}
	return a
}

// machineOptions: microvm without ACPI announces its virtio devices on the kernel command line and
// reboots through the keyboard controller. Its real-time clock and timer are set explicitly,
// because their defaults depend on the accelerator.
func (c *Config) machineOptions() string {
	if c.Machine == "microvm" {
		return "microvm,acpi=off,rtc=on,pit=on,pic=on"
	}
	return c.Machine
}

// smp returns the number of CPUs. Where a machine can have only one, QEMU emulates it
// without memory barriers, and atomic instructions in several steps, although its
// devices work in other threads: a virtio device and its driver then miss each other's
// last word, and interrupts get lost (tcg_gen_mb, tcg/tcg-op.c of QEMU 7.2). So there is
// a place for a second one.
func (c *Config) smp() string {
	if c.CPUs == 1 && !c.KVM {
		return "1,maxcpus=2"
	}
	return strconv.Itoa(c.CPUs)
}

func (c *Config) accel() string {
	if c.KVM {
		return "kvm"
	}
	return "tcg"
}

func (c *Config) cpu() string {
	if c.KVM {
		return "host"
	}
	return "max"
}

// virtio returns a -device value for the machine's own bus, without the
// transitional interface (virtio 1.2 §7.4).
func (c *Config) virtio(kind, options string) string {
	if c.Machine == "microvm" {
		return "virtio-" + kind + "-device" + options
	}
	if kind == "net" {
		options += ",romfile=" // no PXE ROM: the firmware would run it
	}
	return "virtio-" + kind + "-pci,disable-legacy=on" + options
}

// escape doubles commas, which separate the parts of a QEMU option.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
