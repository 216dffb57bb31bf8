package kernel

import (
	"strconv"
	"strings"
)

// This file is /proc/cpuinfo, as arch/x86/kernel/cpu/proc.c prints it, from the CPUID instruction (Intel
// SDM volume 2, CPUID; AMD APM volume 3, appendix E). The lines about a clock rate and about
// microcode are missing: no leaf tells them.

// cpuFlags names the bits of registers of CPUID, from bit 0 on, as arch/x86/include/asm/cpufeatures.h
// does; a dash is a bit that Linux does not show. Registers are EAX, EBX, ECX and EDX, from 0 on.
var cpuFlags = [...]struct {
	leaf     uint32
	register int
	names    string
}{
	{1, 3, "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi " +
		"mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	{0x80000001, 3, "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm " +
		"3dnowext 3dnow"},
	{1, 2, "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid " +
		"dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor"},
	{0x80000001, 2, "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop " +
		"skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc " +
		"perfctr_llc mwaitx"},
	{7, 1, "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f " +
		"avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd " +
		"sha_ni avx512bw avx512vl"},
	{7, 2, "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni " +
		"avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri " +
		"movdir64b enqcmd"},
	{7, 3, "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - " +
		"tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 - - flush_l1d " +
		"arch_capabilities"},
}

// cpuid returns the registers of a leaf, zeros if the processor does not have it.
func (k *Kernel) cpuid(leaf, sub uint32) (r [4]uint32) {
	if most, _, _, _ := k.m.CPUID(leaf&0x80000000, 0); leaf <= most {
		r[0], r[1], r[2], r[3] = k.m.CPUID(leaf, sub)
	}
	return r
}

func procCPUInfo(k *Kernel, b []byte) []byte {
	n, model := k.m.CPUs()
	family := k.cpuFamily()
	rest := k.cpuRest()
	for i := range n {
		id := strconv.Itoa(i)
		b = append(b, "processor\t: "+id+family+"model name\t: "+model+"\nstepping\t: "+utoa(uint64(k.cpuid(1, 0)[0]&15))+
			k.cacheSize()+"\nphysical id\t: 0\nsiblings\t: "+strconv.Itoa(n)+"\ncore id\t\t: "+id+
			"\ncpu cores\t: "+strconv.Itoa(n)+"\napicid\t\t: "+id+"\ninitial apicid\t: "+id+rest...)
	}
	return b
}

// cpuFamily is the lines from vendor_id to model.
func (k *Kernel) cpuFamily() string {
	v, id := k.cpuid(0, 0), k.cpuid(1, 0)[0]
	var vendor []byte
	for _, r := range [3]uint32{v[1], v[3], v[2]} {
		vendor = append(vendor, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	family, model := id>>8&15, id>>4&15
	if family >= 6 {
		model |= id >> 16 & 15 << 4
	}
	if family == 15 {
		family += id >> 20 & 255
	}
	return "\nvendor_id\t: " + string(vendor) + "\ncpu family\t: " + utoa(uint64(family)) + "\nmodel\t\t: " + utoa(uint64(model)) + "\n"
}

// cacheSize is the line about the largest cache, empty if the processor does not tell.
func (k *Kernel) cacheSize() string {
	var bytes uint64
	for _, leaf := range [...]uint32{4, 0x8000001d} { // Intel's and AMD's list of caches
		for sub := range uint32(8) {
			r := k.cpuid(leaf, sub)
			if r[0]&31 == 0 { // no more caches
				break
			}
			ways, parts, line := r[1]>>22+1, r[1]>>12&1023+1, r[1]&4095+1
			bytes = max(bytes, uint64(ways)*uint64(parts)*uint64(line)*(uint64(r[2])+1))
		}
	}
	if bytes == 0 {
		bytes = uint64(k.cpuid(0x80000006, 0)[2]>>16) << 10 // AMD's level 2
	}
	if bytes == 0 {
		return ""
	}
	return "\ncache size\t: " + utoa(bytes>>10) + " KB"
}

// cpuRest is the lines below the processor's number that all processors share.
func (k *Kernel) cpuRest() string {
	line := utoa(uint64(k.cpuid(1, 0)[1] >> 8 & 255 * 8))
	sizes := k.cpuid(0x80000008, 0)[0]
	return "\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: " + utoa(uint64(k.cpuid(0, 0)[0])) + "\nwp\t\t: yes\nflags\t\t:" +
		k.cpuFlagNames() + "\nclflush size\t: " + line + "\ncache_alignment\t: " + line + "\naddress sizes\t: " + utoa(uint64(sizes&255)) +
		" bits physical, " + utoa(uint64(sizes>>8&255)) + " bits virtual\npower management:\n\n"
}

func (k *Kernel) cpuFlagNames() string {
	s := ""
	for i := range cpuFlags {
		f := &cpuFlags[i]
		bits := k.cpuid(f.leaf, 0)[f.register]
		for name := range strings.SplitSeq(f.names, " ") {
			if bits&1 != 0 && name != "-" {
				s += " " + name
			}
			bits >>= 1
		}
	}
	return s
}
