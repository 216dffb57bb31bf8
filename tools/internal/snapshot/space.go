package snapshot

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
)

// These are bits of page table entries, Intel SDM volume 3, 4.5.
const (
	pagePresent = 1 << 0
	pageWrite   = 1 << 1
	pageLarge   = 1 << 7
	pageNX      = 1 << 63
	pageAddr    = 0x000ffffffffff000
)

// lowerEnd is the end of the lower half of virtual memory, the program's.
const lowerEnd = 1 << 47

// Space is virtual memory: a machine and the physical address of the top page
// table (four levels).
type Space struct {
	m    *Machine
	root uint64
}

// page is a present page of any size.
type page struct {
	va, phys, size uint64
	flags          elf.ProgFlag
}

// table reads a page table.
func (s Space) table(phys uint64) (t [512]uint64, err error) {
	var b [core.PageSize]byte
	if _, err := s.m.ReadAt(b[:], int64(phys&pageAddr)); err != nil {
		return t, err
	}
	_, err = binary.Decode(b[:], binary.LittleEndian, &t)
	return t, err
}

// pages calls f for each present page of the lower half, in the order of addresses. Tables and pages
// outside of RAM are skipped.
func (s Space) pages(f func(page)) { s.walk(s.root, 0, 39, f) }

func (s Space) walk(root, va uint64, shift uint, f func(page)) {
	t, err := s.table(root)
	if err != nil {
		return
	}
	for i, e := range t {
		at := va + uint64(i)<<shift
		switch {
		case at >= lowerEnd:
			return
		case e&pagePresent == 0:
		case shift > 12 && e&pageLarge == 0:
			s.walk(e, at, shift-9, f)
		case shift < 39:
			p := page{va: at, phys: e & pageAddr &^ (1<<shift - 1), size: 1 << shift, flags: elf.PF_R}
			if e&pageWrite != 0 {
				p.flags |= elf.PF_W
			}
			if e&pageNX == 0 {
				p.flags |= elf.PF_X
			}
			if r, ok := s.m.find(p.phys); ok && p.phys-r.start+p.size <= r.size {
				f(p)
			}
		}
	}
}

// physical translates a virtual address and returns how many bytes from there on are contiguous.
func (s Space) physical(va uint64) (phys, n uint64, err error) {
	table := s.root
	for shift := uint(39); ; shift -= 9 {
		var b [8]byte
		if _, err := s.m.ReadAt(b[:], int64(table&pageAddr+va>>shift&511*8)); err != nil {
			return 0, 0, err
		}
		e := binary.LittleEndian.Uint64(b[:])
		if e&pagePresent == 0 {
			return 0, 0, fmt.Errorf("no page at %#x", va)
		}
		if shift == 12 || shift < 39 && e&pageLarge != 0 {
			mask := uint64(1)<<shift - 1
			return e&pageAddr&^mask + va&mask, mask + 1 - va&mask, nil
		}
		table = e
	}
}

// read reads virtual memory.
func (s Space) read(b []byte, va uint64) error {
	for len(b) > 0 {
		phys, n, err := s.physical(va)
		if err != nil {
			return err
		}
		n = min(n, uint64(len(b)))
		if _, err := s.m.ReadAt(b[:n], int64(phys)); err != nil {
			return err
		}
		b, va = b[n:], va+n
	}
	return nil
}
