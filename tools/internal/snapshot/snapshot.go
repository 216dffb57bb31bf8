// Package snapshot reads the state of a stopped VM that runs a yolk image: physical memory and CPUs
// as QEMU dumps them, virtual memory through the page tables, threads and mappings in the structures
// of the machine half (runtime/goroot/src/runtime/machine.go), which the image's DWARF describes.
// The guest may be damaged: every address is checked and every list is bounded. Start with
// [Capture], [Open] and [Process].
package snapshot

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
)

// pid is the number of the guest's only process.
const pid = 1

// ErrStarting is returned if the guest has no threads yet.
var ErrStarting = errors.New("the guest has not started its program yet")

// Process describes the program that runs in a machine, for a core file. The machine's memory is part
// of the result, and must stay open until the core is written.
func Process(m *Machine, im *Image) (*core.Process, error) {
	if len(m.CPUs) == 0 {
		return nil, errors.New("QEMU's dump names no CPU")
	}
	space := Space{m, m.CPUs[0].CR[3]}
	if err := im.sameAs(space); err != nil {
		return nil, err
	}
	r := &reader{space: space}
	mach := view{r, im.mach, im.machType}
	threads := im.threads(m, mach)
	segments := mappings(space, areas(mach))
	if r.err != nil {
		return nil, fmt.Errorf("the guest's memory does not fit the image %s: %w", im.Path, r.err)
	}
	if len(threads) == 0 {
		return nil, ErrStarting
	}
	name := filepath.Base(im.Path) // gdb warns if the names differ
	return &core.Process{
		PID: pid, Name: name, Args: name, Threads: threads, Segments: segments,
		Files: im.files(), Auxv: im.auxv(), Memory: m,
	}, nil
}

// area is a mapping of the program, an areas.Area in a machArea.
type area struct{ start, end, prot uint64 }

// maxAreas bounds the guest's list.
const maxAreas = 1 << 16

// areas reads the guest's mappings. It leaves out those that are not in order: their pages are found
// in the page tables.
func areas(mach view) []area {
	mem := mach.field("mem")
	var list []area
	at := uint64(0)
	e := mem.field("area").deref()
	n := min(mem.field("narea").uint(), maxAreas)
	for i := range n {
		a := e.at(i).field("Area")
		x := area{a.field("Start").uint(), a.field("End").uint(), a.field("Prot").uint()}
		if e.r.err != nil {
			return nil
		}
		if x.start < at || x.end <= x.start || x.end > lowerEnd || (x.start|x.end)%core.PageSize != 0 {
			continue
		}
		at = x.end
		list = append(list, x)
	}
	return list
}

// accessible reports whether the program may access the area.
func (a area) accessible() bool { return a.prot&7 != 0 }

// flags translates the PROT_ bits of mmap(2).
func (a area) flags() elf.ProgFlag {
	return elf.ProgFlag(a.prot&1<<2 | a.prot&2 | a.prot&4>>2)
}

// mappings combines the areas that the program may access with the pages that are present. Pages
// outside of all areas become mappings of their own.
func mappings(s Space, list []area) []core.Segment {
	var out []core.Segment
	for _, a := range list {
		if a.accessible() {
			out = append(out, core.Segment{Start: a.start, End: a.end, Flags: a.flags()})
		}
	}
	known := len(out)
	s.pages(func(p page) {
		for p.size > 0 {
			i, _ := slices.BinarySearchFunc(out[:known], p.va, func(s core.Segment, va uint64) int {
				if s.End <= va {
					return -1
				}
				return 1
			})
			n := p.size
			switch {
			case i < known && out[i].Start <= p.va:
				n = min(n, out[i].End-p.va)
				addRun(&out[i], p, n)
			default:
				if i < known {
					n = min(n, out[i].Start-p.va)
				}
				k := len(out) - 1
				if k < known || out[k].End != p.va || out[k].Flags != p.flags {
					out = append(out, core.Segment{Start: p.va, Flags: p.flags})
					k++
				}
				out[k].End = p.va + n
				addRun(&out[k], p, n)
			}
			p.va, p.phys, p.size = p.va+n, p.phys+n, p.size-n
		}
	})
	slices.SortFunc(out, func(a, b core.Segment) int {
		if a.Start < b.Start {
			return -1
		}
		return 1
	})
	return out
}

// addRun adds the first n bytes of a page to a mapping, merged with the last run if it is contiguous in
// both address spaces.
func addRun(s *core.Segment, p page, n uint64) {
	if k := len(s.Runs) - 1; k >= 0 {
		if r := &s.Runs[k]; r.Addr+r.Len == p.va && r.Offset+r.Len == p.phys {
			r.Len += n
			return
		}
	}
	s.Runs = append(s.Runs, core.Run{Addr: p.va, Len: n, Offset: p.phys})
}
