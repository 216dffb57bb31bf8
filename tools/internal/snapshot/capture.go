package snapshot

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
)

// Machine is the state of a VM at one moment. As an io.ReaderAt it is the
// physical memory.
type Machine struct {
	CPUs []CPU
	file *os.File
	ram  []ram
}

// ram is a range of physical memory, in the file from offset.
type ram struct{ start, size, offset uint64 }

// CPU is the state of a CPU in the note "QEMU" of a dump (QEMUCPUState in
// target/i386/arch_dump.c).
type CPU struct {
	Version, Size                          uint32
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
	CS, DS, ES, FS, GS, SS                 Selector
	LDT, TR, GDT, IDT                      Selector
	CR                                     [5]uint64
}

// Selector is a segment register with its hidden part (QEMUCPUSegment).
type Selector struct {
	Selector, Limit, Flags, _ uint32
	Base                      uint64
}

// Capture stops the machine, copies its memory and CPUs, and resumes it if it was running. The copy
// is a temporary file in dir, whose size on disk is that of the memory that is not zero.
func Capture(c *qmp.Client, dir string) (*Machine, error) {
	f, err := os.CreateTemp(dir, ".yolk-dump-*")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if err := capture(c, f); err != nil {
		f.Close()
		return nil, err
	}
	m, err := ReadDump(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// capture makes QEMU write its dump to a pipe: a pipe needs no file name that QEMU may open, and
// pages of zeroes need not be written to a disk.
func capture(c *qmp.Client, f *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	copied := make(chan error, 1)
	go func() {
		err := copySparse(f, r)
		r.Close() // otherwise QEMU would wait for a reader that has given up
		copied <- err
	}()
	const name = "yolk-dump"
	err = c.SendFile(name, w)
	w.Close()
	if err == nil {
		err = c.Execute("dump-guest-memory", map[string]any{"paging": false, "protocol": "fd:" + name}, nil)
		if err != nil {
			// The command takes the descriptor unless it fails early.
			c.Execute("closefd", map[string]any{"fdname": name}, nil)
		}
	}
	if err != nil {
		r.Close()
		<-copied
		return err
	}
	return <-copied
}

// copySparse copies a stream to an empty file.
func copySparse(f *os.File, r io.Reader) error {
	buf := make([]byte, 1<<20)
	at := int64(0)
	for {
		n, err := io.ReadFull(r, buf)
		if werr := core.WriteSparse(f, at, buf[:n]); werr != nil {
			return werr
		}
		at += int64(n)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return f.Truncate(at)
		default:
			return err
		}
	}
}

// ReadDump reads a dump in QEMU's ELF format, of physical memory. The machine owns the file from
// then on.
func ReadDump(f *os.File) (*Machine, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("QEMU's dump: %w", err)
	}
	m := &Machine{file: f}
	for _, p := range e.Progs {
		switch p.Type {
		case elf.PT_LOAD:
			m.ram = append(m.ram, ram{p.Paddr, p.Filesz, p.Off})
		case elf.PT_NOTE:
			b := make([]byte, min(p.Filesz, 64<<20))
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, fmt.Errorf("QEMU's dump: %w", err)
			}
			if m.CPUs, err = readCPUs(b); err != nil {
				return nil, fmt.Errorf("QEMU's dump: %w", err)
			}
		}
	}
	return m, nil
}

// readCPUs parses QEMU's notes in a note segment.
func readCPUs(b []byte) ([]CPU, error) {
	var cpus []CPU
	for len(b) >= 12 {
		name, desc := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
		from := 12 + (name+3)&^3
		next := from + (desc+3)&^3
		if next > uint64(len(b)) {
			return nil, errors.New("a note reaches beyond its segment")
		}
		if string(b[12:12+name]) == "QEMU\x00" {
			var c CPU
			if _, err := binary.Decode(b[from:from+desc], binary.LittleEndian, &c); err != nil {
				return nil, fmt.Errorf("a CPU of %d bytes: %w", desc, err)
			}
			cpus = append(cpus, c)
		}
		b = b[next:]
	}
	return cpus, nil
}

// ReadAt reads physical memory.
func (m *Machine) ReadAt(b []byte, phys int64) (int, error) {
	n := 0
	for n < len(b) {
		at := uint64(phys) + uint64(n)
		r, ok := m.find(at)
		if !ok {
			return n, fmt.Errorf("no RAM at %#x", at)
		}
		k := min(uint64(len(b)-n), r.start+r.size-at)
		if _, err := m.file.ReadAt(b[n:n+int(k)], int64(r.offset+at-r.start)); err != nil {
			return n, err
		}
		n += int(k)
	}
	return n, nil
}

// find returns the range that contains a physical address.
func (m *Machine) find(phys uint64) (ram, bool) {
	for _, r := range m.ram {
		if phys >= r.start && phys-r.start < r.size {
			return r, true
		}
	}
	return ram{}, false
}

// Close frees the copy of the memory.
func (m *Machine) Close() error { return m.file.Close() }
