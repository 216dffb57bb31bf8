package elfcheck

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image builds an ELF of nothing but program headers and notes.
func image(machine elf.Machine, notes []byte) []byte {
	const headers = 64 + 56
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h)
	binary.Write(&b, binary.LittleEndian, elf.Prog64{
		Type: uint32(elf.PT_NOTE), Off: headers, Filesz: uint64(len(notes)), Memsz: uint64(len(notes)), Align: 4,
	})
	b.Write(notes)
	return b.Bytes()
}

func note(name string, typ uint32, desc []byte) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, []uint32{uint32(len(name) + 1), uint32(len(desc)), typ})
	b.WriteString(name + "\x00")
	b.Write(make([]byte, -b.Len()&3))
	b.Write(desc)
	return b.Bytes()
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckFindsEntry(t *testing.T) {
	notes := append(note("Go", 4, []byte("buildid")), 0)
	notes = append(notes, note("Xen", 18, []byte{0x78, 0x56, 0x34, 0x12})...)
	path := write(t, image(elf.EM_X86_64, notes))
	im, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	if im.Entry != 0x12345678 {
		t.Errorf("entry = %#x; want 0x12345678", im.Entry)
	}
}

func TestCheckErrors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	xen := note("Xen", 18, []byte{0, 0, 0x10, 0})
	for name, tt := range map[string]struct {
		path, want string
	}{
		"linux Go program": {self, "built for linux/amd64; build it with yolk build"},
		"no note":          {write(t, image(elf.EM_X86_64, note("GNU", 1, nil))), "not a yolk image"},
		"other machine":    {write(t, image(elf.EM_AARCH64, xen)), "ELF file for aarch64"},
		"text":             {write(t, []byte("#!/bin/sh\n")), "not an ELF file"},
		"empty":            {write(t, nil), "not an ELF file"},
		"cut ELF":          {write(t, image(elf.EM_X86_64, xen)[:40]), "damaged ELF"},
		"archive":          {write(t, []byte("!<arch>\nxxxxx")), "name a package main"},
		"directory":        {t.TempDir(), "not a regular file"},
		"missing":          {filepath.Join(t.TempDir(), "no"), "no such file"},
	} {
		_, err := Check(tt.path)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v; want %q in it", name, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %q", name, err)
		}
	}
}

func FuzzFindNote(f *testing.F) {
	f.Add(note("Xen", 18, []byte{1, 2, 3, 4}))
	f.Add(note("Xen", 18, nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 18, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { findNote(b) })
}
