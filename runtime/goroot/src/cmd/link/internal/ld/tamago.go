//go:build yolktools

package ld

import (
	"cmd/internal/objabi"
	"cmd/link/internal/loader"
	"cmd/link/internal/sym"
	"debug/elf"
	"slices"
	"strings"
)

type tamagoRoot struct{ pkg, wantedBy string }

func (r tamagoRoot) wanted(ctxt *Link) bool {
	return ctxt.PackageFile[r.pkg] != "" && (r.wantedBy == "" || ctxt.LibraryByPkg[r.wantedBy] != nil)
}

// tamagoRoots are the packages of the machine, in the order of their
// initialisation, each with the package whose presence in the program asks for
// it ("" for always). What a program does not link it does not carry.
var tamagoRoots = []tamagoRoot{
	{"runtime/yolk", ""},
	{tamagoDiskPackage, ""}, // cmd/go lists it with the tag yolkdisk alone
	{"runtime/yolk/devices", "crypto/internal/sysrand"},
	{"runtime/yolk/devices", "github.com/yolk-unikernel/yolk/runtime"},
	{"runtime/yolk/certs", "crypto/x509"},
	{"runtime/yolk/net", "net"},
}

// tamagoDiskPackage serves disks.
const tamagoDiskPackage = "runtime/yolk/disks"

// tamagoLate are the same that initialise last, when the program's packages have:
// a program starts without waiting for what they serve.
var tamagoLate = []tamagoRoot{
	{"runtime/yolk/devices/power", "os/signal"},
	{"runtime/yolk/devices/power", "net"},
	{"runtime/yolk/devices/balloon", "crypto/internal/sysrand"},
	{"runtime/yolk/devices/balloon", "github.com/yolk-unikernel/yolk/runtime"},
	{"runtime/yolk/devices/balloon", "os/signal"},
	{"runtime/yolk/devices/balloon", "net"},
}

// tamagoOnDemand are packages without anything to initialise. Their code and data
// go in with what needs them: time.LoadLocation, by a linkname, and the making of
// paths for system calls (tamagoFolders).
var tamagoOnDemand = []string{"runtime/yolk/zoneinfo", "runtime/yolk/folders"}

// loadTamago loads the machine's packages. cmd/go lists them in the import
// configuration of tamago programs only, so for other programs this does
// nothing.
func loadTamago(ctxt *Link) {
	for _, r := range append(tamagoRoots, tamagoLate...) {
		if r.wanted(ctxt) {
			loadinternal(ctxt, r.pkg)
		}
	}
	for _, pkg := range tamagoOnDemand {
		if ctxt.PackageFile[pkg] != "" {
			loadinternal(ctxt, pkg)
		}
	}
}

// tamagoInittasks returns the schedule main between the two of the machine: files
// and the network exist before any package of the program initialises. The
// runtime skips a task that has been done.
func (ctxt *Link) tamagoInittasks(main loader.Sym) loader.Sym {
	ldr := ctxt.loader
	if ctxt.LibraryByPkg[tamagoRoots[0].pkg] == nil {
		return main
	}
	tamagoFolders(ctxt)
	tamagoDisks(ctxt)
	all := ldr.MakeSymbolBuilder("go:tamago.inittasks")
	all.SetType(ldr.SymType(main))
	add := func(list loader.Sym) {
		relocs := ldr.Relocs(list)
		for i := 0; i < relocs.Count(); i++ {
			all.AddAddr(ctxt.Arch, relocs.At(i).Sym())
		}
	}
	addRoots := func(roots []tamagoRoot) {
		added := map[string]bool{}
		for _, r := range roots {
			if added[r.pkg] || !r.wanted(ctxt) { // others may be there without being initialised
				continue
			}
			added[r.pkg] = true
			if list := ctxt.inittaskSym([]string{objabi.PathToPrefix(r.pkg) + "..inittask"}, "go:tamago.inittasks."+r.pkg); list != 0 {
				add(list)
			}
		}
	}
	addRoots(tamagoRoots)
	add(main)
	addRoots(tamagoLate)
	return all.Sym()
}

// tamagoFolders makes a program that names files carry what mounts the host's
// folders: where syscall.ByteSliceFromString is, which makes paths for system
// calls (BytePtrFromString is inlined), runtime/yolk/folders.Mount is kept, and then the variable
// runtime/yolk.folders is its address. Otherwise that is the address of
// runtime.unreachableMethod, as any weak reference to code.
func tamagoFolders(ctxt *Link) {
	ldr := ctxt.loader
	v := ldr.Lookup("runtime/yolk.folders", 0)
	path := ldr.Lookup("syscall.ByteSliceFromString", sym.SymVerABIInternal)
	code := ldr.Lookup("runtime/yolk/folders.Mount", sym.SymVerABIInternal)
	if v == 0 || path == 0 || code == 0 {
		return
	}
	keep, _ := ldr.MakeSymbolUpdater(path).AddRel(objabi.R_KEEP)
	keep.SetSym(code)
	tamagoSet(ctxt, v, objabi.R_WEAKADDR, code)
}

// tamagoDisks makes the variable runtime/yolk.disks the address of a function of
// package disks, if that is linked: runtime/yolk then leaves mounting to it.
func tamagoDisks(ctxt *Link) {
	ldr := ctxt.loader
	v := ldr.Lookup("runtime/yolk.disks", 0)
	code := ldr.Lookup(tamagoDiskPackage+".start", sym.SymVerABIInternal)
	if v != 0 && code != 0 {
		tamagoSet(ctxt, v, objabi.R_ADDR, code)
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
// (type descriptors, itabs, dictionaries, parts of composite literals), 1% of an
// image, and the functions of the packages that have no DWARF either, 2%: the
// machine's own and gVisor's. Tracebacks, profiles and Delve go by pclntab, which
// has them. Nothing looks at Textp any more when the program headers are made, but
// for the symbol table.
func tamagoHide(ctxt *Link) {
	ldr := ctxt.loader
	for s := loader.Sym(1); s < loader.Sym(ldr.NSym()); s++ {
		if !ldr.AttrReachable(s) || ldr.SymType(s).IsText() {
			continue
		}
		name := ldr.SymName(s)
		if strings.HasPrefix(name, "go:") || strings.HasPrefix(name, "type:") || strings.Contains(name, "..") {
			ldr.SetAttrNotInSymbolTable(s, true)
		}
	}
	ctxt.Textp = slices.DeleteFunc(ctxt.Textp, func(s loader.Sym) bool {
		return bare(ldr.SymPkg(s))
	})
}

// bare tells the packages without DWARF, the machine's own and its libraries':
// they are compiled without it (tamagoOmitDebug in cmd/go/internal/work).
// Tracebacks use pclntab.
func bare(pkg string) bool {
	return strings.HasPrefix(pkg, "runtime/yolk") || strings.HasPrefix(pkg, "gvisor/")
}

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
