// Package boot translates what a VMM passes to a guest at its first instruction into a common
// description, Info: RAM, command line, initial files, ACPI. It consists of pure functions over
// bytes: PVH (the x86/HVM direct boot ABI of Xen,
// xen/include/public/arch-x86/hvm/start_info.h) in pvh.go, the words of the command line in
// cmdline.go, the CPUs that the firmware's tables list in cpus.go and tables.go. Package runtime calls it before there is a heap, so it does not allocate. Package
// acpi, which reads the ACPI tables, runs later.
package boot

// These are the limits of Info. A VMM with more regions is refused; further modules are
// ignored.
const (
	MaxRegions = 64
	MaxModules = 4
)

// A Region is a range of physical addresses, Start included, End not.
type Region struct {
	Start, End uint64
}

// Info describes the machine as the VMM reports it. Addresses are physical.
type Info struct {
	// RAM is usable memory, in the order of the VMM's map.
	RAM  [MaxRegions]Region
	NRAM int
	// Modules are files that the VMM has loaded; the first is the archive of initial files.
	Modules  [MaxModules]Region
	NModules int
	// CommandLine is the address of a string that ends with a NUL; 0 if there is none.
	CommandLine uint64
	// RSDP is the ACPI root pointer, or 0.
	RSDP uint64
}

// Memory returns n bytes of physical memory at addr, or nil if they do not exist.
type Memory func(addr uint64, n int) []byte

// The compiler turns each of these functions into one length check and one load.

func le32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
