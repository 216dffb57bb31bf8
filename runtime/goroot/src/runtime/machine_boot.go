//go:build tamago

package runtime

import (
	"internal/runtime/yolk/areas"
	"internal/runtime/yolk/boot"
	"internal/runtime/yolk/clock"
	"internal/runtime/yolk/frames"
	"internal/runtime/yolk/initstack"
	"internal/runtime/yolk/mman"
	"unsafe"
)

// From the 64-bit entry to the first instruction of _rt0_amd64. pvhEntry has
// set up the early area, its page tables and a g.

// bootPlaces chooses where the direct map and the window for registers begin: each at one
// of 128 entries of the PML4, and the direct map at one of 256 multiples of 1 GiB there,
// which is how fine Linux's KASLR is (arch/x86/mm/kaslr.c). It enters the direct map's
// first 4 GiB into the early page tables, on which it runs: memory is where it is
// physically.
//
//go:nosplit
func bootPlaces(early uintptr) (direct uintptr) {
	random := uintptr(bootRandom())
	slot := 256 + random>>0&127*2
	gib := 4 + random>>8&255 // entries 0 to 3 are for address 0
	direct = canonical | slot<<39 | gib<<30
	const bits = ptePresent | pteWrite
	store64(early+slot*8, uint64(early+earlyPDPT)|bits)
	for i := uintptr(0); i < 4; i++ {
		store64(early+earlyPDPT+(gib+i)*8, uint64(early+earlyPD+i*machPage)|bits)
	}
	window := 257 + random>>16&127*2
	if window == slot+1 { // where much RAM may reach
		window ^= 2
	}
	m := &mach.mem
	m.ioNext = canonical | window<<39
	m.ioEnd = m.ioNext + windowSize
	m.ioNext += random >> 32 % (windowSize / 2 / machPage) * machPage
	directMap = direct
	return direct
}

const (
	canonical  = 0xffff << 48 // bits 63 to 48 of addresses of the upper half
	windowSize = 1 << 39      // of the window for registers: what an entry of the PML4 maps
)

// bootRandom returns a number that nobody can foresee: of the CPU's generator and of the
// jitter of device accesses against the TSC. machRandom has its state in memory that is not
// there yet.
//
//go:nosplit
func bootRandom() (v uint64) {
	_, _, c, _ := machCPUID(1, 0)
	rand := c>>30&1 != 0
	samples := 4
	if !rand {
		samples = 64
	}
	for i := 0; i < samples; i++ {
		if rand {
			r, _ := rdrand()
			v ^= r
		}
		inb(comLSR) // leaves the CPU: its duration is the jitter
		v = (v ^ rdtsc()) * 0x9e3779b97f4a7c15
		v ^= v >> 29
	}
	return v
}

// machBoot makes the machine ready and enters the program. It does not return.
//
//go:nowritebarrierrec
func machBoot(startInfo, early uintptr) {
	conInit()
	mach.early = early
	base := early + directMap
	info := (*boot.Info)(unsafe.Pointer(base + earlyInfo))
	if e := boot.ParsePVH(info, uint64(startInfo), bootMemory); e != "" {
		bootRefuse(e)
	}
	ram, nram := info.RAM, info.NRAM
	bootFrames(info, early)
	bootTables(ram[:nram])
	bootWords(uintptr(info.CommandLine))
	machIDTInit(base + earlyIDT)
	bootCPU(base)
	machTablesInit(thisCPU(), base+earlyIDT)
	var found boot.CPUs
	boot.FindCPUs(&found, info.RSDP, bootMemory)
	bootImage()
	machAPICInit()
	machSMPInit(&found)
	machClockInit()
	machSetWall()
	bootMainThread()
	vdsoClockgettimeSym = abiFuncPC(machClockGettime)
	machLeave()
	c := thisCPU()
	c.guardStacks()
	c.protectTables()
	if mach.audit {
		machAudit()
	}
	c.setG()
	machResume()
}

// bootRefuse says why the machine cannot start, and ends it.
func bootRefuse(why string) {
	conString("yolk: cannot boot: ")
	conString(why)
	conString("\n")
	machExit(125)
}

// bootMemory reads physical memory through the early direct map (4 GiB).
func bootMemory(addr uint64, n int) []byte {
	if addr >= 4<<30 || uint64(n) > 4<<30-addr {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(addr)+directMap)), n)
}

// bootFrames makes the free list of RAM: what the VMM says is RAM, above the
// first MiB (firmware, the trampoline of further CPUs), without the image, the
// early area and what the VMM loaded.
func bootFrames(info *boot.Info, early uintptr) {
	m := &mach.mem
	imageStart, _ := imageSegments()
	n := info.NRAM
	for i := 0; i < n; i++ {
		m.total += uintptr(info.RAM[i].End - info.RAM[i].Start)
	}
	n = boot.Subtract(&info.RAM, n, boot.Region{Start: 0, End: 1 << 20})
	n = boot.Subtract(&info.RAM, n, boot.Region{Start: uint64(imageStart), End: uint64(early + earlyEnd)})
	for i := 0; i < info.NModules; i++ {
		f := info.Modules[i]
		f.Start &^= machPage - 1
		f.End = (f.End + machPage - 1) &^ (machPage - 1)
		n = boot.Subtract(&info.RAM, n, f)
	}
	if info.NModules > 0 {
		mach.files = machRange{uintptr(info.Modules[0].Start), uintptr(info.Modules[0].End)}
	}
	mach.rsdp = uintptr(info.RSDP)
	for i := 0; i < n; i++ {
		start := (uintptr(info.RAM[i].Start) + machPage - 1) &^ (machPage - 1)
		end := min(uintptr(info.RAM[i].End)&^(machPage-1), directMapMax)
		if end <= start {
			continue
		}
		m.AddRegion(frames.Range{Start: start, End: end})
	}
	if !m.Init(directMap) || m.Free < 2<<20 {
		conString("yolk: cannot boot: too little RAM for this image: ")
		conDec(uint64(m.total >> 20))
		conString(" MiB; give the VM more (yolk run -m SIZE)\n")
		machExit(125)
	}
}

const directMapMax = 512 << 30 // so that the direct map needs two entries of the PML4 at most

// bootWords copies the command line, and behind it the words of the configuration document with
// which the initial module may begin: what is left of the module are the initial files.
func bootWords(commandLine uintptr) {
	line := bootCommandLine(commandLine)
	var config []byte
	if f := &mach.files; f.start != f.end && f.end <= 4<<30 {
		words, rest, why := boot.CutConfig(unsafe.Slice((*byte)(unsafe.Pointer(directMap+f.start)), f.end-f.start))
		if why != "" {
			bootRefuse(why)
		}
		config, f.start = words, f.end-uintptr(len(rest))
	}
	n := uintptr(len(line))
	p := directMap + mach.mem.contiguousLow(n+1+uintptr(len(config)))
	memmove(unsafe.Pointer(p), unsafe.Pointer(unsafe.SliceData(line)), n)
	*(*byte)(unsafe.Pointer(p + n)) = ' '
	memmove(unsafe.Pointer(p+n+1), unsafe.Pointer(unsafe.SliceData(config)), uintptr(len(config)))
	mach.words, mach.wordsn, mach.linen = p, n+1+uintptr(len(config)), n
}

// bootCommandLine returns the command line, which may lie anywhere, also in page 0.
func bootCommandLine(phys uintptr) []byte {
	if phys == 0 || phys >= 4<<30 {
		return nil
	}
	n := uintptr(0)
	for *(*byte)(unsafe.Pointer(directMap + phys + n)) != 0 {
		if n++; n > boot.MaxCommandLine {
			bootRefuse("the kernel command line has more than 64 KiB; pass configuration in the initial module, as yolk run does")
		}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(directMap+phys)), n)
}

// elfSegment is what is needed of an ELF64 program header.
type elfSegment struct {
	typ, flags                          uint32
	off, vaddr, paddr, filesz, memsz, _ uint64
}

const elfHeader = 0x400000 // where the linker puts the first segment

// imageSegments returns where the image begins and its program headers, which
// the first segment contains.
func imageSegments() (start uintptr, segs []elfSegment) {
	phoff := uintptr(load64(elfHeader + 32))
	n := *(*uint16)(unsafe.Pointer(uintptr(elfHeader + 56)))
	return elfHeader, unsafe.Slice((*elfSegment)(unsafe.Pointer(elfHeader+phoff)), n)
}

// bootTables makes the final page tables but for the image: the direct map, which shows
// RAM and no other physical memory, not executable. They stay inactive until bootImage:
// until then the lowest 4 GiB are there, and frames come from there.
func bootTables(ram []boot.Region) {
	m := &mach.mem
	m.root = m.zeroFrame()
	random := bootRandom()
	m.window.Base = mmapBase + uintptr(random)%mmapPages*machPage
	m.window.Next = m.window.Base
	m.stack = mman.End - uintptr(random>>32)%topPages*machPage
	m.window.Limit = m.stack - mainStackSize*2
	for i := range ram {
		start := (uintptr(ram[i].Start) + machPage - 1) &^ (machPage - 1)
		end := min(uintptr(ram[i].End)&^(machPage-1), directMapMax)
		if start < end {
			m.mapRange(directMap+start, start, end-start, stackBits|pteBoot)
			m.top = max(m.top, end)
		}
	}
}

// bootCPU sets up the boot CPU, whose area is the early one, and finds out how
// much vector state there is.
func bootCPU(base uintptr) {
	machXSave = 0
	mach.sched.fpuSize = 512
	if _, _, feat, _ := machCPUID(1, 0); feat>>26&1 != 0 {
		machXSave = 1
	}
	newCPU(base).load()
	if machXSave != 0 {
		_, size, _, _ := machCPUID(0xd, 0) // of what is enabled
		mach.sched.fpuSize = uintptr(size+63) &^ 63
	}
}

// newCPU makes the machCPU in an area that is laid out as the early one.
func newCPU(base uintptr) *machCPU {
	c := (*machCPU)(unsafe.Pointer(base + earlyCPU))
	c.self = c
	c.base = base
	c.stack = base + earlyStack
	c.trap = base + earlyTrap
	c.fault = base + earlyFault
	c.g = base + earlyG
	c.inside = 1
	return c
}

// guardStacks puts the CPU's stacks where an overflow meets an unmapped page.
func (c *machCPU) guardStacks() {
	m := &mach.mem
	phys := c.base - directMap
	c.stack = m.mapStack(phys+earlyStack-privateStack, privateStack)
	c.trap = m.mapStack(phys+earlyStack, earlyTrap-earlyStack)
	c.fault = m.mapStack(phys+earlyTrap, earlyFault-earlyTrap)
	c.idle.sp = uint64(c.stack)
	c.setTSS()
}

// setG tells the g of the CPU's machine half about its stack. It must not be called on
// another one, but for the last time before that is left.
//
//go:nosplit
func (c *machCPU) setG() {
	gp := (*g)(unsafe.Pointer(c.g))
	gp.stack = stack{c.stack - privateStack, c.stack}
	gp.stackguard0 = gp.stack.lo + stackGuard
	gp.stackguard1 = gp.stackguard0
}

// protectTables makes the page with the CPU's GDT and TSS read-only, once it is loaded: the
// CPU writes to descriptors only when it loads their segments first.
func (c *machCPU) protectTables() {
	gdt := c.base - directMap + earlyGDT
	mach.mem.protectDirect(gdt, gdt+machPage)
	mach.smp.flushTLB()
}

// load sets the registers of the executing CPU: GS, system calls, vector state.
func (c *machCPU) load() {
	wrmsr(msrGSBase, uint64(uintptr(unsafe.Pointer(c))))
	wrmsr(msrEFER, rdmsr(msrEFER)|1) // SCE
	wrmsr(msrSTAR, 8<<32)            // CS 8, SS 16
	wrmsr(msrLSTAR, uint64(abiFuncPC(machSyscallEntry)))
	wrmsr(msrFMASK, 1<<9|1<<10|1<<8) // IF, DF, TF
	if machXSave != 0 {
		const want = 1<<0 | 1<<1 | 1<<2 | 7<<5 // x87, SSE, AVX, AVX-512
		lo, _, _, _ := machCPUID(0xd, 0)
		orCR4(1 << 18) // OSXSAVE
		xsetbv(uint64(lo & want))
	}
	if kvmFeatures()>>5&1 != 0 {
		const msrStealTime = 0x4b564d03
		wrmsr(msrStealTime, uint64(c.base+earlySteal-directMap)|1)
	}
}

// stolen returns how long (ns) the CPU had something to run and the host ran
// something else: struct kvm_steal_time of Documentation/virt/kvm/x86/msr.rst,
// zero where KVM does not count it.
func (c *machCPU) stolen() int64 {
	for {
		version := load32(c.base + earlySteal + 8)
		ns := load64(c.base + earlySteal)
		if version&1 == 0 && load32(c.base+earlySteal+8) == version {
			return int64(ns)
		}
	}
}

// bootImage maps the image as its program headers say, everything else of the
// lower half nothing, and switches to the final tables. Those of the start are free then.
func bootImage() {
	m := &mach.mem
	bss := uintptr(0)
	_, segs := imageSegments()
	for i := range segs {
		if s := &segs[i]; s.typ == ptLoad {
			start, end, prot := s.pages()
			m.mapRange(start, start, end-start, protBits(prot)|pteBoot)
			if prot&_PROT_WRITE == 0 {
				m.protectDirect(start, end)
				continue
			}
			// The BSS: the tail of the data's last page is cleared, the rest comes on demand.
			bss = end
			memclrNoHeapPointers(unsafe.Pointer(s.end()), end-s.end())
		}
	}
	m.protectDirect(mach.early+earlyIDT, mach.early+earlyIDT+machPage)
	loadCR3(m.root - directMap)
	m.Give(frames.Range{Start: mach.early, End: mach.early + earlyGDT}, false)
	// Areas may lie in any page frames, above 4 GiB too: they come now.
	for i := range segs {
		if s := &segs[i]; s.typ == ptLoad {
			start, end, prot := s.pages()
			m.add(areas.Area{Start: start, End: end, Prot: prot | areaImage})
		}
	}
	if end := (firstmoduledata.end + machPage - 1) &^ (machPage - 1); end > bss {
		m.add(areas.Area{Start: bss, End: end, Prot: _PROT_READ | _PROT_WRITE})
	}
}

const ptLoad = 1 // PT_LOAD of elf(5)

// pages returns the pages of a segment, without BSS, and their PROT_ bits.
func (s *elfSegment) pages() (start, end, prot uintptr) {
	prot = _PROT_READ
	if s.flags&1 != 0 {
		prot |= _PROT_EXEC
	}
	if s.flags&2 != 0 {
		prot |= _PROT_WRITE
	}
	return uintptr(s.vaddr) &^ (machPage - 1), (s.end() + machPage - 1) &^ (machPage - 1), prot
}

// end returns where what the file has of a segment ends.
func (s *elfSegment) end() uintptr { return uintptr(s.vaddr + s.filesz) }

// bootMainThread makes thread 1 with the stack that Linux would give a
// program: argc, argv, envp, the auxiliary vector.
func bootMainThread() {
	c := thisCPU()
	c.idle = newThread()
	c.cur = c.idle
	c.idle.id = 0
	mach.sched.cpus.Runs(c.index, false)
	mach.sched.lastID = 0
	t := newThread()
	t.sp = uint64(bootStack(mach.mem.stack))
	t.ip = uint64(machRt0())
	t.ctx = ctxPlain
	c.enqueue(t, false)
}

// bootStack maps the initial stack below top and writes it. It returns where its
// content begins.
func bootStack(top uintptr) uintptr {
	random := top - 16
	aux := [...]initstack.Aux{
		{Tag: _AT_PAGESZ, Value: machPage},
		{Tag: _AT_CLKTCK, Value: 100},
		{Tag: _AT_SECURE, Value: 0}, // no privilege
		{Tag: _AT_RANDOM, Value: random},
		{Tag: _AT_NULL},
	}
	line := unsafe.Slice((*byte)(unsafe.Pointer(mach.words)), mach.wordsn)
	words, bytes := initstack.Size(len(line), len(aux))
	text := random - uintptr(bytes)
	sp := (text - uintptr(words)*8) &^ 15
	start := (sp - mainStackSize) &^ (machPage - 1)
	mach.mem.add(areas.Area{Start: start, End: top, Prot: _PROT_READ | _PROT_WRITE})
	machRandom(random, 16, true)
	options := initstack.Build(unsafe.Slice((*uintptr)(unsafe.Pointer(sp)), words), unsafe.Slice((*byte)(unsafe.Pointer(text)), bytes), text, line, aux[:])
	if options.Unknown {
		bootRefuse("the word yolk.wx= has one value, strict")
	}
	mach.mem.strict, mach.audit = options.Strict, options.Audit
	return sp
}

const _AT_CLKTCK = 17 // <linux/auxvec.h>

// kvmclockRate returns the TSC rate that KVM's paravirtual clock tells, or 0
// (Documentation/virt/kvm/x86/msr.rst, struct pvclock_vcpu_time_info).
func kvmclockRate() uint64 {
	if kvmFeatures()>>3&1 == 0 {
		return 0
	}
	const msrSystemTime = 0x4b564d01
	page := mach.mem.zeroFrame()
	wrmsr(msrSystemTime, uint64(page-directMap)|1)
	mul, shift := load32(page+24), int8(load32(page+28))
	wrmsr(msrSystemTime, 0)
	mach.mem.freeFrame(page - directMap)
	return clock.KVMHz(mul, shift)
}

// kvmFeatures returns KVM's feature bits, 0 for another hypervisor
// (Documentation/virt/kvm/x86/cpuid.rst).
func kvmFeatures() uint32 {
	top, b, c, d := machCPUID(0x40000000, 0)
	if b != 0x4b4d564b || c != 0x564b4d56 || d != 0x4d || top < 0x40000001 { // "KVMKVMKVM"
		return 0
	}
	features, _, _, _ := machCPUID(0x40000001, 0)
	return features
}
