//go:build yolktools

package ld

import (
	"cmd/internal/objabi"
	"cmd/link/internal/loader"
	"cmd/link/internal/sym"
	"strings"
)

// Programs of the TamaGo framework: what its boards would do to the machine that they run on.

// framework is the module's path.
const framework = "github.com/usbarmory/tamago/"

// tamagoBoard returns the inittask of a package as it is to run: of a package that is a board of the
// framework, only what initialises its variables, and 0 if that is nothing. Its init functions
// load an interrupt table, start CPUs, set a clock and configure devices, which here are the
// machine's.
func tamagoBoard(ctxt *Link, task loader.Sym) loader.Sym {
	ldr := ctxt.loader
	pkg, ok := strings.CutSuffix(ldr.SymName(task), "..inittask")
	if !ok || !strings.HasPrefix(pkg, framework+"board/") {
		return task
	}
	var variables []loader.Sym
	relocs := ldr.Relocs(task)
	for i := 0; i < relocs.Count(); i++ {
		r := relocs.At(i)
		if r.Type() == objabi.R_ADDR && !strings.HasPrefix(ldr.SymName(r.Sym()), pkg+".init.") {
			variables = append(variables, r.Sym())
		}
	}
	if len(variables) == 0 {
		return 0
	}
	b := ldr.MakeSymbolBuilder(pkg + "..inittask.machine") // as cmd/compile/internal/pkginit lays it out
	b.SetType(ldr.SymType(task))
	b.AddUint32(ctxt.Arch, 0)
	b.AddUint32(ctxt.Arch, uint32(len(variables)))
	for _, f := range variables {
		b.AddAddr(ctxt.Arch, f)
	}
	return b.Sym()
}

// tamagoRefuse makes the framework's functions that take the machine over a jump to
// goos.refuse, which panics: they load an interrupt table, overwrite low memory and start CPUs
// there, and give the host another page for the clock.
func tamagoRefuse(ctxt *Link) {
	ldr := ctxt.loader
	refuse := ldr.Lookup("runtime/goos.refuse", sym.SymVerABIInternal)
	if refuse == 0 {
		return
	}
	for _, name := range [...]string{"amd64.load_idt", "amd64.apinit_reloc", "kvm/pvclock.pvclock"} {
		s := ldr.Lookup(framework+name, sym.SymVerABI0)
		if s == 0 {
			continue
		}
		b := ldr.MakeSymbolUpdater(s)
		b.ResetRelocs()
		b.SetData([]byte{0xe9, 0, 0, 0, 0}) // JMP rel32
		b.SetSize(5)
		r, _ := b.AddRel(objabi.R_CALL)
		r.SetOff(1)
		r.SetSiz(4)
		r.SetSym(refuse)
	}
}
