//go:build yolktools

package ld

import (
	"cmd/internal/objabi"
	"cmd/link/internal/loader"
	"cmd/link/internal/sym"
	"debug/elf"
	"strings"
)

// tamagoRoots are the packages of the machine, in the order of their
// initialisation, each with the package whose presence in the program asks for
// it ("" for always). What a program does not link it does not carry.
var tamagoRoots = []struct{ pkg, wantedBy string }{
	{"runtime/yolk", ""},
	{"runtime/yolk/devices", "crypto/internal/sysrand"},
	{"runtime/yolk/devices", "github.com/yolk-unikernel/yolk/runtime"},
	{"runtime/yolk/certs", "crypto/x509"},
	{"runtime/yolk/net", "net"},
}

// tamagoLate are the same that initialise last, when the program's packages have:
// a program starts without waiting for what they serve.
var tamagoLate = []struct{ pkg, wantedBy string }{
	{"runtime/yolk/devices/power", "os/signal"},
	{"runtime/yolk/devices/power", "net"},
	{"runtime/yolk/devices/balloon", "crypto/internal/sysrand"},
	{"runtime/yolk/devices/balloon", "github.com/yolk-unikernel/yolk/runtime"},
	{"runtime/yolk/devices/balloon", "os/signal"},
	{"runtime/yolk/devices/balloon", "net"},
}

// tamagoZones is referred to by package time alone: its code and data go in
// with time.LoadLocation, and it has nothing to initialise.
const tamagoZones = "runtime/yolk/zoneinfo"

// loadTamago loads the machine's packages. cmd/go lists them in the import
// configuration of tamago programs only, so for other programs this does
// nothing.
func loadTamago(ctxt *Link) {
	for _, r := range append(tamagoRoots, tamagoLate...) {
		if ctxt.PackageFile[r.pkg] != "" && (r.wantedBy == "" || ctxt.LibraryByPkg[r.wantedBy] != nil) {
			loadinternal(ctxt, r.pkg)
		}
	}
	if ctxt.PackageFile[tamagoZones] != "" {
		loadinternal(ctxt, tamagoZones)
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
	all := ldr.MakeSymbolBuilder("go:tamago.inittasks")
	all.SetType(ldr.SymType(main))
	add := func(list loader.Sym) {
		relocs := ldr.Relocs(list)
		for i := 0; i < relocs.Count(); i++ {
			all.AddAddr(ctxt.Arch, relocs.At(i).Sym())
		}
	}
	addRoots := func(roots []struct{ pkg, wantedBy string }) {
		for i, r := range roots {
			if i > 0 && r.pkg == roots[i-1].pkg {
				continue
			}
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

// tamagoPhdrs adds the program header of the PVH note (the symbol
// runtime.pvhNote, in rodata) that lets a VMM boot the image, and cuts the BSS
// off the data segment: the machine maps it on demand, so that a large BSS
// costs no RAM.
func tamagoPhdrs(ctxt *Link) {
	note := ctxt.loader.Lookup("runtime.pvhNote", 0)
	if note == 0 || ctxt.LinkMode == LinkExternal {
		return
	}
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
