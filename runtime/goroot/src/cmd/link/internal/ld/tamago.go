//go:build yolktools

package ld

import (
	"cmd/internal/objabi"
	"cmd/link/internal/loader"
	"cmd/link/internal/sym"
	"debug/elf"
	"internal/runtime/yolk/linked"
	"slices"
	"strings"
)

// tamagoWanted reports whether the program carries a package of the machine. cmd/go
// offers them to tamago programs only, so for other programs none is wanted.
func tamagoWanted(ctxt *Link, p linked.Package) bool {
	return ctxt.PackageFile[p.Path] != "" && p.Wanted(func(path string) bool {
		switch path {
		case linked.OwnCalls:
			return ctxt.loader.OutsideImports(linked.CallPackages...)
		case linked.OwnSockets:
			return ctxt.loader.OutsideRefers(linked.SocketCalls...)
		}
		return ctxt.LibraryByPkg[path] != nil
	})
}

// loadTamago loads the machine's packages that the program wants, and those whose
// code goes in on demand. What a program does not link it does not carry.
func loadTamago(ctxt *Link) {
	for _, p := range linked.Packages {
		if tamagoWanted(ctxt, p) {
			loadinternal(ctxt, p.Path)
		}
	}
}

// tamagoInittasks returns the schedule main between the two of the machine: files
// and the network exist before any package of the program initialises. The
// runtime skips a task that has been done.
func (ctxt *Link) tamagoInittasks(main loader.Sym) loader.Sym {
	ldr := ctxt.loader
	if ctxt.LibraryByPkg[linked.Wiring] == nil {
		return main
	}
	tamagoModules(ctxt)
	tamagoFolders(ctxt)
	tamagoDisks(ctxt)
	tamagoZones(ctxt)
	tamagoRefuse(ctxt)
	all := ldr.MakeSymbolBuilder("go:tamago.inittasks")
	all.SetType(ldr.SymType(main))
	add := func(list loader.Sym) {
		relocs := ldr.Relocs(list)
		for i := 0; i < relocs.Count(); i++ {
			if task := tamagoBoard(ctxt, relocs.At(i).Sym()); task != 0 {
				all.AddAddr(ctxt.Arch, task)
			}
		}
	}
	addMachine := func(when linked.When) {
		for _, p := range linked.Packages {
			if p.When != when || !tamagoWanted(ctxt, p) { // others may be there without being initialised
				continue
			}
			if list := ctxt.inittaskSym([]string{objabi.PathToPrefix(p.Path) + "..inittask"}, "go:tamago.inittasks."+p.Path); list != 0 {
				add(list)
			}
		}
	}
	addMachine(linked.First)
	add(main)
	addMachine(linked.Last)
	return all.Sym()
}

// tamagoModules names in the build information the modules of the machine's packages that
// the program carries: go version -m and scanners see them as its own.
func tamagoModules(ctxt *Link) {
	const name = "runtime.modinfo"
	in := linked.In(linked.Modules, func(path string) bool { return ctxt.LibraryByPkg[path] != nil })
	if info := strdata[name]; info != "" {
		strdata[name] = linked.AddModules(info, in)
	}
}

// tamagoFolders makes a program that names files carry what mounts the host's
// folders: where syscall.ByteSliceFromString is, which makes paths for system
// calls (BytePtrFromString is inlined), package folders' Mount is kept, and then the variable
// folders of package wiring is its address. Otherwise that is the address of
// runtime.unreachableMethod, as any weak reference to code.
func tamagoFolders(ctxt *Link) {
	ldr := ctxt.loader
	v := ldr.Lookup(linked.Wiring+".folders", 0)
	path := ldr.Lookup("syscall.ByteSliceFromString", sym.SymVerABIInternal)
	code := ldr.Lookup(linked.Folders+".Mount", sym.SymVerABIInternal)
	if v == 0 || path == 0 || code == 0 {
		return
	}
	keep, _ := ldr.MakeSymbolUpdater(path).AddRel(objabi.R_KEEP)
	keep.SetSym(code)
	tamagoSet(ctxt, v, objabi.R_WEAKADDR, code)
}

// tamagoDisks makes the variable disks of package wiring the address of a function of
// package disks, if that is linked: package wiring then leaves mounting to it.
func tamagoDisks(ctxt *Link) {
	ldr := ctxt.loader
	v := ldr.Lookup(linked.Wiring+".disks", 0)
	code := ldr.Lookup(linked.Disks+".start", sym.SymVerABIInternal)
	if v != 0 && code != 0 {
		tamagoSet(ctxt, v, objabi.R_ADDR, code)
	}
}

// tamagoZones makes the variable zones of package wiring the address of package zoneinfo's Load, if
// the program carries the time zones because it calls time.LoadLocation.
func tamagoZones(ctxt *Link) {
	ldr := ctxt.loader
	v := ldr.Lookup(linked.Wiring+".zones", 0)
	code := ldr.Lookup("time.embeddedZone", sym.SymVerABIInternal)
	if v != 0 && code != 0 {
		tamagoSet(ctxt, v, objabi.R_WEAKADDR, code)
	}
}

// tamagoSet makes the variable v the address of code.
func tamagoSet(ctxt *Link, v loader.Sym, kind objabi.RelocType, code loader.Sym) {
	b := ctxt.loader.MakeSymbolUpdater(v)
	b.SetType(sym.SNOPTRDATA)
	b.Grow(8)
	r, _ := b.AddRel(kind)
	r.SetOff(0)
	r.SetSiz(8)
	r.SetSym(code)
}

// tamagoPhdrs adds the program header of the PVH note (the symbol
// runtime.pvhNote, in rodata) that lets a VMM boot the image, and cuts the BSS
// off the data segment: the machine maps it on demand, so that a large BSS
// costs no RAM.
func tamagoPhdrs(ctxt *Link) {
	note := ctxt.loader.Lookup("runtime.pvhNote", 0)
	if note == 0 || ctxt.LinkMode == LinkExternal {
		return
	}
	tamagoHide(ctxt)
	for _, ph := range phdr[:ehdr.Phnum] {
		if ph.Type == elf.PT_LOAD && ph.Vaddr == Segdata.Vaddr {
			ph.Memsz = ph.Filesz
		}
	}
	ph := newElfPhdr()
	ph.Type = elf.PT_NOTE
	ph.Flags = elf.PF_R
	ph.Vaddr = uint64(ctxt.loader.SymValue(note))
	ph.Paddr = ph.Vaddr
	ph.Off = ph.Vaddr - Segrodata.Vaddr + Segrodata.Fileoff
	ph.Filesz = uint64(ctxt.loader.SymSize(note))
	ph.Memsz = ph.Filesz
	ph.Align = 4
}

// tamagoHide keeps out of the ELF symbol table what debuggers know by DWARF and
// by the runtime's own tables, or not at all: data that has no name in any source
// (type descriptors and their functions, itabs, dictionaries, parts of composite
// literals, constants), 1% of an image, the functions of the packages that have no
// DWARF either, 2%: the machine's own and gVisor's, and those of the machine half in
// Go, which have it. Tracebacks, profiles and Delve go by pclntab, which
// has them. Nothing looks at Textp any more when the program headers are made, but
// for the symbol table.
func tamagoHide(ctxt *Link) {
	ldr := ctxt.loader
	for s := loader.Sym(1); s < loader.Sym(ldr.NSym()); s++ {
		if !ldr.AttrReachable(s) || ldr.SymType(s).IsText() {
			continue
		}
		name := ldr.SymName(s)
		if name == "go:func.*" { // by which govulncheck finds inlined calls
			continue
		}
		if strings.HasPrefix(name, "go:") || strings.HasPrefix(name, "type:") || strings.HasPrefix(name, "$f") || strings.Contains(name, "..") {
			ldr.SetAttrNotInSymbolTable(s, true)
		}
	}
	ctxt.Textp = slices.DeleteFunc(ctxt.Textp, func(s loader.Sym) bool {
		name := ldr.SymName(s)
		return bare(ldr.SymPkg(s)) || strings.HasPrefix(name, "type:") || !ldr.IsFromAssembly(s) && machineFunc(name)
	})
}

// machineFunc tells the functions of the machine half: those of machine*.go in package
// runtime, and of these what the wiring knows by another name.
func machineFunc(name string) bool {
	for _, prefix := range [...]string{"runtime.mach", "runtime.(*mach", "runtime.linux", "runtime.boot", "runtime/yolk/"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// bare tells the packages without DWARF, the machine's own and its libraries':
// they are compiled without it (tamagoOmitDebug in cmd/go/internal/work).
// Tracebacks use pclntab.
func bare(pkg string) bool {
	return strings.HasPrefix(pkg, "runtime/yolk") || strings.HasPrefix(pkg, machineHalf) || strings.HasPrefix(pkg, "gvisor/")
}

// machineHalf are the packages that package runtime imports.
const machineHalf = "internal/runtime/yolk/"

// tamagoLines returns the functions of a unit that DWARF describes.
func tamagoLines(unit *sym.CompilationUnit) []sym.LoaderSym {
	if bare(unit.Lib.Pkg) {
		return nil
	}
	return unit.Textp
}

// tamagoVariable returns the DWARF description of a global variable, 0 for none.
func tamagoVariable(d *dwctxt, s loader.Sym) loader.Sym {
	if bare(d.ldr.SymPkg(s)) {
		return 0
	}
	return d.ldr.GetVarDwarfAuxSym(s)
}

// tamagoFrames returns the functions that get DWARF unwind information.
func tamagoFrames(d *dwctxt) []loader.Sym {
	var list []loader.Sym
	for _, s := range d.linkctxt.Textp {
		if !bare(d.ldr.SymPkg(s)) {
			list = append(list, s)
		}
	}
	return list
}
