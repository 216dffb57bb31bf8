package boot

// These are sizes and values of struct hvm_start_info, hvm_modlist_entry and
// hvm_memmap_table_entry.
const (
	pvhMagic      = 0x336ec578
	pvhInfoSize   = 56
	pvhModuleSize = 32
	pvhMapSize    = 24
	pvhRAM        = 1 // XEN_HVM_MEMMAP_TYPE_RAM
)

// ParsePVH fills info from the start info at addr. It returns an error message, or "".
func ParsePVH(info *Info, addr uint64, mem Memory) string {
	*info = Info{}
	s := mem(addr, pvhInfoSize)
	if s == nil || le32(s) != pvhMagic {
		return "the VMM gave no PVH start info"
	}
	if le32(s[4:]) < 1 {
		return "the PVH start info has version 0, without a memory map"
	}
	info.CommandLine = le64(s[24:])
	info.RSDP = le64(s[32:])
	if e := parsePVHMap(info, le64(s[40:]), le32(s[48:]), mem); e != "" {
		return e
	}
	parsePVHModules(info, le64(s[16:]), le32(s[12:]), mem)
	return ""
}

func parsePVHMap(info *Info, addr uint64, n uint32, mem Memory) string {
	for i := uint32(0); i < n; i++ {
		e := mem(addr+uint64(i)*pvhMapSize, pvhMapSize)
		if e == nil {
			return "the PVH memory map lies outside memory"
		}
		start, size := le64(e), le64(e[8:])
		if le32(e[16:]) != pvhRAM || size == 0 || start+size < start {
			continue
		}
		if info.NRAM == MaxRegions {
			return "the PVH memory map has more than 64 regions of RAM"
		}
		info.RAM[info.NRAM] = Region{start, start + size}
		info.NRAM++
	}
	if info.NRAM == 0 {
		return "the PVH memory map has no RAM"
	}
	return ""
}

func parsePVHModules(info *Info, addr uint64, n uint32, mem Memory) {
	for i := uint32(0); i < n && info.NModules < MaxModules; i++ {
		e := mem(addr+uint64(i)*pvhModuleSize, pvhModuleSize)
		if e == nil {
			return
		}
		start, size := le64(e), le64(e[8:])
		if size == 0 || start+size < start {
			continue
		}
		info.Modules[info.NModules] = Region{start, start + size}
		info.NModules++
	}
}

// Subtract removes r from the n free regions in list and returns the new number of regions. If
// the list is full, a region that would be cut in two keeps only its larger part.
func Subtract(list *[MaxRegions]Region, n int, r Region) int {
	for i := 0; i < n; i++ {
		f := list[i]
		if r.End <= f.Start || f.End <= r.Start {
			continue
		}
		low, high := Region{f.Start, max(f.Start, r.Start)}, Region{min(f.End, r.End), f.End}
		switch {
		case low.Start == low.End && high.Start == high.End:
			n--
			list[i] = list[n]
			i--
		case low.Start == low.End:
			list[i] = high
		case high.Start == high.End:
			list[i] = low
		case n < MaxRegions:
			list[i], list[n] = low, high
			n++
		case low.End-low.Start > high.End-high.Start:
			list[i] = low
		default:
			list[i] = high
		}
	}
	return n
}
