// Package core writes core files in Linux's format, for debuggers: an ELF file of type ET_CORE with
// notes for the process and its threads and a segment for each mapping (Linux fs/binfmt_elf.c,
// include/uapi/linux/elfcore.h; System V ABI, AMD64 supplement). Pages that are zero or were never
// touched are holes of the file. Start with [Write].
package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// PageSize is the unit of mappings and of holes.
const PageSize = 4096

// Process is the content of a core file.
type Process struct {
	PID      int32
	Name     string    // the program's name, of which 15 bytes are kept
	Args     string    // the command line, of which 79 bytes are kept
	Threads  []Thread  // the first is the one that a debugger shows
	Files    []Mapping // mappings of files
	Auxv     []Aux
	Segments []Segment // in the order of their addresses
	// Memory is what the runs of the segments refer to.
	Memory io.ReaderAt
}

// Thread is one thread.
type Thread struct {
	ID     int32
	Signal uint32 // the signal that ended it, or 0
	Regs   Regs
}

// Regs are the registers, in the order of struct user_regs_struct
// (arch/x86/include/asm/user_64.h).
type Regs struct {
	R15, R14, R13, R12, RBP, RBX, R11, R10, R9, R8 uint64
	RAX, RCX, RDX, RSI, RDI, OrigRAX               uint64
	RIP, CS, RFLAGS, RSP, SS                       uint64
	FSBase, GSBase                                 uint64
	DS, ES, FS, GS                                 uint64
}

// Mapping is a part of a file in memory.
type Mapping struct {
	Start, End uint64 // addresses
	Offset     uint64 // in the file, a multiple of PageSize
	Path       string
}

// Aux is an entry of the auxiliary vector, getauxval(3).
type Aux struct{ Type, Value uint64 }

// Types of auxiliary vector entries (<elf.h>).
const (
	AuxPhdr     = 3
	AuxPhent    = 4
	AuxPhnum    = 5
	AuxPageSize = 6
	AuxEntry    = 9
)

// Segment is a mapping. Its parts outside of the runs are zero.
type Segment struct {
	Start, End uint64
	Flags      elf.ProgFlag
	Runs       []Run
}

// Run says where in Process.Memory the content of [Addr, Addr+Len) is. All are
// multiples of PageSize.
type Run struct{ Addr, Len, Offset uint64 }

// File has the methods of *os.File that Write needs.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// maxSegments is the largest e_phnum, less the notes; Linux allows a process fewer mappings
// (vm.max_map_count).
const maxSegments = 0xfffe - 1

const headerSize, progSize = 64, 56 // of the ELF header and a program header

// Write writes the core of p to an empty file.
func Write(f File, p *Process) error {
	if len(p.Segments) > maxSegments {
		return fmt.Errorf("the program has %d mappings; a core file holds %d", len(p.Segments), maxSegments)
	}
	notes := p.notes()
	progs := uint64(1 + len(p.Segments))
	at := headerSize + progs*progSize
	head := p.header(uint16(progs))
	head = add(head, &elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(len(notes)), Align: 4})
	at = (at + uint64(len(notes)) + PageSize - 1) &^ (PageSize - 1)
	data := at
	for _, s := range p.Segments {
		n := s.End - s.Start
		head = add(head, &elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(s.Flags), Off: at, Vaddr: s.Start, Filesz: n, Memsz: n, Align: PageSize,
		})
		at += n
	}
	if _, err := f.WriteAt(append(head, notes...), 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(at)); err != nil {
		return err
	}
	for _, s := range p.Segments {
		for _, r := range s.Runs {
			if err := copyRun(f, int64(data+r.Addr-s.Start), p.Memory, r); err != nil {
				return err
			}
		}
		data += s.End - s.Start
	}
	return nil
}

func (p *Process) header(progs uint16) []byte {
	h := elf.Header64{
		Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: headerSize, Ehsize: headerSize, Phentsize: progSize, Phnum: progs,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	return add(nil, &h)
}

// add appends a structure as it lies in memory.
func add(b []byte, v any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic(err) // a type without a fixed size
	}
	return b
}

var zeros [PageSize]byte

// copyRun copies a run of memory to f at an offset.
func copyRun(f io.WriterAt, at int64, memory io.ReaderAt, r Run) error {
	buf := make([]byte, min(r.Len, 64*PageSize))
	for done := uint64(0); done < r.Len; done += uint64(len(buf)) {
		buf = buf[:min(uint64(len(buf)), r.Len-done)]
		if n, err := memory.ReadAt(buf, int64(r.Offset+done)); n < len(buf) {
			return fmt.Errorf("memory at %#x: %w", r.Addr+done, err)
		}
		if err := WriteSparse(f, at+int64(done), buf); err != nil {
			return err
		}
	}
	return nil
}

// WriteSparse writes b at an offset, except for pages that are zero.
func WriteSparse(f io.WriterAt, at int64, b []byte) error {
	for len(b) > 0 {
		n := 0
		for n < len(b) && !zeroPage(b[n:]) {
			n += PageSize
		}
		n = min(n, len(b))
		if n > 0 {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		n = min(n+PageSize, len(b)) // the page that ended the run
		at, b = at+int64(n), b[n:]
	}
	return nil
}

// zeroPage reports whether the first page of b, or the rest of b, is zero.
func zeroPage(b []byte) bool {
	n := min(len(b), PageSize)
	return bytes.Equal(b[:n], zeros[:n])
}
