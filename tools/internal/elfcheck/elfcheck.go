// Package elfcheck identifies a file before a VMM boots it: a yolk image, a program for another
// system, or something else. A yolk image is a 64-bit x86 ELF with a PVH entry note: PT_NOTE, name
// "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY, xen/include/public/elfnote.h). Start with [Check].
package elfcheck

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// notePhys32Entry is XEN_ELFNOTE_PHYS32_ENTRY.
const notePhys32Entry = 18

// maxNotes bounds how much of a note segment is read; an image's has 20 bytes.
const maxNotes = 1 << 16

// Image is a bootable file.
type Image struct {
	Path string
	// Entry is the 32-bit entry point of the PVH note.
	Entry uint32
	// Size is the file's length in bytes.
	Size int64
	// End is the physical address after its last byte: a machine with less RAM cannot load it.
	End uint64
	// Go is the version of Go that built it, or "" if it has no build information.
	Go string
	// Tags are the build tags that it was built with.
	Tags []string
}

// Check returns the image in a file if a VMM can boot it. Its error names the file, what it is
// instead, and what to do.
func Check(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, notELF(path, f)
	}
	entry, err := pvhEntry(e)
	if err != nil {
		return nil, explain(path, f, e, err)
	}
	im := &Image{Path: path, Entry: entry, Size: st.Size()}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD {
			im.End = max(im.End, p.Paddr+p.Filesz)
		}
	}
	if bi, err := buildinfo.Read(f); err == nil {
		im.Go = bi.GoVersion
		im.Tags = strings.Split(setting(bi, "-tags"), ",")
	}
	return im, nil
}

var errNoNote = errors.New("no PVH entry note")

// pvhEntry finds the entry point in the ELF's note segments.
func pvhEntry(e *elf.File) (uint32, error) {
	if e.Class != elf.ELFCLASS64 || e.Machine != elf.EM_X86_64 {
		return 0, errNoNote
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p.Open(), maxNotes))
		if err != nil {
			return 0, fmt.Errorf("reading its notes: %w", err)
		}
		if entry, ok := findNote(b); ok {
			return entry, nil
		}
	}
	return 0, errNoNote
}

// findNote walks notes (ELF gABI, "Note Section": three words, then name and
// descriptor, each padded to 4 bytes).
func findNote(b []byte) (entry uint32, ok bool) {
	for len(b) >= 12 {
		nameLen := uint64(binary.LittleEndian.Uint32(b))
		descLen := uint64(binary.LittleEndian.Uint32(b[4:]))
		typ := binary.LittleEndian.Uint32(b[8:])
		b = b[12:]
		desc := (nameLen + 3) &^ 3
		end := desc + (descLen+3)&^3
		if desc+descLen > uint64(len(b)) {
			return 0, false
		}
		if typ == notePhys32Entry && string(bytes.TrimRight(b[:nameLen], "\x00")) == "Xen" && descLen >= 4 {
			return binary.LittleEndian.Uint32(b[desc:]), true
		}
		b = b[min(end, uint64(len(b))):]
	}
	return 0, false
}

const howToBuild = "build it with yolk build, or with GOOS=tamago go build after eval \"$(yolk env)\""

// explain describes a valid ELF file without the note.
func explain(path string, f *os.File, e *elf.File, err error) error {
	if !errors.Is(err, errNoNote) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bi, err := buildinfo.Read(f); err == nil {
		goos, goarch := setting(bi, "GOOS"), setting(bi, "GOARCH")
		switch {
		case goos == "tamago":
			return fmt.Errorf("%s is built for tamago but has no PVH entry: another toolchain made it; %s", path, howToBuild)
		case goos != "":
			return fmt.Errorf("%s is built for %s/%s; %s", path, goos, goarch, howToBuild)
		}
	}
	if e.Machine != elf.EM_X86_64 {
		machine := strings.ToLower(strings.TrimPrefix(e.Machine.String(), "EM_"))
		return fmt.Errorf("%s is an ELF file for %s; yolk boots x86-64 images: %s", path, machine, howToBuild)
	}
	return fmt.Errorf("%s is an ELF file but not a yolk image; %s", path, howToBuild)
}

func setting(bi *buildinfo.BuildInfo, key string) string {
	for _, s := range bi.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// notELF describes a file that debug/elf refuses.
func notELF(path string, f *os.File) error {
	var head [8]byte
	n, _ := f.ReadAt(head[:], 0)
	switch h := string(head[:n]); {
	case strings.HasPrefix(h, "!<arch>\n"):
		return fmt.Errorf("%s is a compiled package, not a program: name a package main", path)
	case strings.HasPrefix(h, "\x7fELF"):
		return fmt.Errorf("%s is a damaged ELF file; build it again", path)
	default:
		return fmt.Errorf("%s is not an ELF file; %s", path, howToBuild)
	}
}
