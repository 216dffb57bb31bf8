package inside

import (
	"debug/dwarf"
	"debug/elf"
	"debug/gosym"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"github.com/google/pprof/profile"
)

// Symbols tells the functions of an image: by the runtime's table, which each image has, and by DWARF what is inlined in them,
// where an image has that.
type Symbols struct {
	path       string
	start, end uint64 // of the code
	table      *gosym.Table
	inlined    []inlined // by start
}

// Build returns the note with the build ID of an image, "" if it has none.
func Build(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if s := f.Section(".note.go.buildid"); s != nil {
		if id, err := s.Data(); err == nil {
			return hex.EncodeToString(id)
		}
	}
	return ""
}

// A Call is a place in a function.
type Call struct {
	Func, File string
	Line       int
}

// inlined is a range of addresses at which a function is inlined into its parent.
type inlined struct {
	low, high uint64
	depth     int
	name      string
	call      Call // where the parent calls it; Func is not set
}

// ReadSymbols reads those of an image.
func ReadSymbols(path string) (*Symbols, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, lines := f.Section(".text"), f.Section(".gopclntab")
	if text == nil || lines == nil {
		return nil, fmt.Errorf("%s: no Go program", path)
	}
	data, err := lines.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Symbols{path: path, start: text.Addr, end: text.Addr + text.Size}
	if s.table, err = gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if d, err := f.DWARF(); err == nil {
		s.readInlined(d)
	}
	return s, nil
}

func (s *Symbols) mapping() *profile.Mapping {
	return &profile.Mapping{ID: 1, Start: s.start, Limit: s.end, File: s.path, HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: len(s.inlined) > 0}
}

// Calls returns the functions that an address is in, the innermost first; nothing for an address outside of the program.
func (s *Symbols) Calls(pc uint64) []Call {
	file, line, fn := s.table.PCToLine(pc)
	if fn == nil {
		return nil
	}
	at := Call{Func: fn.Name, File: file, Line: line}
	var calls []Call
	for _, in := range s.inlinedAt(fn.Entry, pc) {
		calls = append(calls, Call{in.name, at.File, at.Line})
		at.File, at.Line = in.call.File, in.call.Line
	}
	return append(calls, at)
}

// outsideRuntime returns a stack of an allocation from the first function on that is not the allocator's, as runtime/pprof does.
func (s *Symbols) outsideRuntime(stack []uint64) []uint64 {
	for i, pc := range stack {
		_, _, fn := s.table.PCToLine(pc - 1)
		if fn == nil || !strings.HasPrefix(fn.Name, "runtime.") && !strings.HasPrefix(fn.Name, "internal/runtime/") {
			return stack[i:]
		}
	}
	return stack
}

// inlinedAt returns what is inlined at an address of the function that begins at entry, the innermost first.
func (s *Symbols) inlinedAt(entry, pc uint64) (list []inlined) {
	first := sort.Search(len(s.inlined), func(i int) bool { return s.inlined[i].low >= entry })
	for _, in := range s.inlined[first:] {
		if in.low > pc {
			break
		}
		if pc < in.high {
			list = append(list, in)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].depth > list[j].depth })
	return list
}

// readInlined reads the inlined functions (DWARF 5 §3.3.8.2). What cannot be read is left out.
func (s *Symbols) readInlined(d *dwarf.Data) {
	names := map[dwarf.Offset]string{}
	var files []*dwarf.LineFile
	r := d.Reader()
	type found struct {
		inlined
		origin dwarf.Offset
	}
	var all []found
	for depth := 0; ; {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		switch e.Tag {
		case 0:
			depth--
			continue
		case dwarf.TagCompileUnit:
			files = nil
			if lr, err := d.LineReader(e); err == nil && lr != nil {
				files = lr.Files()
			}
		case dwarf.TagSubprogram:
			if name, ok := e.Val(dwarf.AttrName).(string); ok {
				names[e.Offset] = name
			}
		case dwarf.TagInlinedSubroutine:
			origin, _ := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
			line, _ := e.Val(dwarf.AttrCallLine).(int64)
			file, _ := e.Val(dwarf.AttrCallFile).(int64)
			ranges, err := d.Ranges(e)
			if err != nil {
				break
			}
			call := Call{Line: int(line)}
			if file > 0 && file < int64(len(files)) && files[file] != nil {
				call.File = files[file].Name
			}
			for _, p := range ranges {
				all = append(all, found{inlined{p[0], p[1], depth, "", call}, origin})
			}
		}
		if e.Children {
			depth++
		}
	}
	for _, f := range all {
		if f.name = names[f.origin]; f.name != "" {
			s.inlined = append(s.inlined, f.inlined)
		}
	}
	sort.Slice(s.inlined, func(i, j int) bool { return s.inlined[i].low < s.inlined[j].low })
}
