package snapshot

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
)

// Image has the information in an ELF file about the running program.
type Image struct {
	Path     string
	header   elf.FileHeader
	progs    []elf.ProgHeader
	id       []byte // the note with the build ID
	idAt     uint64 // address of id in memory
	mach     uint64 // address of the machine half's state
	machType dwarf.Type
	dead     uint64 // value of runtime.threadDead

	resume, syscall, vectors, trap function
}

// function is the address range of an assembly function.
type function struct{ start, end uint64 }

func (f function) has(pc uint64) bool { return pc >= f.start && pc < f.end }

// ErrStripped is returned for an image without DWARF, with which a debugger could not use a core
// either.
var ErrStripped = errors.New("no debugging information; build it without -ldflags -s and -w")

// Open reads an image.
func Open(path string) (*Image, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	im := &Image{Path: path, header: f.FileHeader}
	for _, p := range f.Progs {
		im.progs = append(im.progs, p.ProgHeader)
	}
	if err := im.load(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return im, nil
}

func (im *Image) load(f *elf.File) error {
	if f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil {
		return ErrStripped
	}
	if s := f.Section(".note.go.buildid"); s != nil {
		var err error
		if im.id, err = s.Data(); err != nil {
			return err
		}
		im.idAt = s.Addr
	}
	if err := im.loadTypes(f); err != nil {
		return err
	}
	return im.loadSymbols(f)
}

// loadTypes finds the machine half's state in the compile unit of package
// runtime.
func (im *Image) loadTypes(f *elf.File) error {
	d, err := f.DWARF()
	if err != nil {
		return err
	}
	var machType dwarf.Offset
	dead, haveDead := int64(0), false
	r := d.Reader()
	for {
		e, err := r.Next()
		if err != nil {
			return err
		}
		if e == nil {
			break
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		switch {
		case e.Tag == dwarf.TagCompileUnit && name == "runtime":
			continue // continue with its children
		case name == "runtime.mach":
			machType, _ = e.Val(dwarf.AttrType).(dwarf.Offset)
		case name == "runtime.threadDead":
			dead, haveDead = e.Val(dwarf.AttrConstValue).(int64)
		}
		r.SkipChildren()
	}
	if machType == 0 || !haveDead {
		return errors.New("no image of yolk, or one of another version")
	}
	im.dead = uint64(dead)
	im.machType, err = d.Type(machType)
	return err
}

func (im *Image) loadSymbols(f *elf.File) error {
	symbols, err := f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return ErrStripped
	}
	if err != nil {
		return err
	}
	want := map[string]*function{
		"runtime.machResume": &im.resume, "runtime.machSyscallEntry": &im.syscall,
		"runtime.machVectors": &im.vectors, "runtime.machTrapEntry": &im.trap,
	}
	for _, s := range symbols {
		if s.Name == "runtime.mach" {
			im.mach = s.Value
		}
		if f := want[strings.TrimSuffix(s.Name, ".abi0")]; f != nil {
			*f = function{s.Value, s.Value + s.Size}
		}
	}
	for name, f := range want {
		if f.start == 0 || im.mach == 0 {
			return fmt.Errorf("symbol %s is missing: no image of yolk, or one of another version", name)
		}
	}
	return nil
}

// sameAs compares the build ID in the file with the one in memory.
func (im *Image) sameAs(s Space) error {
	got := make([]byte, len(im.id))
	if err := s.read(got, im.idAt); err != nil {
		return ErrStarting
	}
	if !bytes.Equal(got, im.id) {
		return fmt.Errorf("%s is not the image that the VM runs; it may have been built again since", im.Path)
	}
	return nil
}

// files are the mappings of the image.
func (im *Image) files() []core.Mapping {
	var list []core.Mapping
	for _, p := range im.progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 {
			start := p.Vaddr &^ (core.PageSize - 1)
			end := (p.Vaddr + p.Filesz + core.PageSize - 1) &^ (core.PageSize - 1)
			list = append(list, core.Mapping{Start: start, End: end, Offset: p.Off &^ (core.PageSize - 1), Path: im.Path})
		}
	}
	return list
}

// auxv has the entries of the auxiliary vector that a debugger needs.
func (im *Image) auxv() []core.Aux {
	list := []core.Aux{{Type: core.AuxPageSize, Value: core.PageSize}, {Type: core.AuxEntry, Value: im.header.Entry}}
	for _, p := range im.progs {
		if p.Type == elf.PT_PHDR {
			list = append(list,
				core.Aux{Type: core.AuxPhdr, Value: p.Vaddr},
				core.Aux{Type: core.AuxPhent, Value: 56},
				core.Aux{Type: core.AuxPhnum, Value: uint64(len(im.progs))})
		}
	}
	return list
}
