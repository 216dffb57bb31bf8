package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// example is a process with two threads; page n of its memory is filled with n.
func example() *Process {
	var memory []byte
	for n := range 4 {
		memory = append(memory, bytes.Repeat([]byte{byte(n)}, PageSize)...)
	}
	return &Process{
		PID: 1, Name: "a-program-with-a-long-name", Args: "a-program -x",
		Threads: []Thread{
			{ID: 7, Signal: 6, Regs: Regs{RIP: 0x401000, RSP: 0x7fff0000, R15: 15, GS: 99}},
			{ID: 1, Regs: Regs{RIP: 0x402000}},
		},
		Files: []Mapping{{0x400000, 0x402000, 0x1000, "/bin/a"}, {0x402000, 0x403000, 0x3000, "/bin/a"}},
		Auxv:  []Aux{{AuxEntry, 0x401000}},
		Segments: []Segment{
			{Start: 0x400000, End: 0x402000, Flags: elf.PF_R | elf.PF_X, Runs: []Run{{0x400000, 2 * PageSize, PageSize}}},
			{Start: 0xc000000000, End: 0xc004000000, Flags: elf.PF_R | elf.PF_W, Runs: []Run{
				{0xc000001000, PageSize, 3 * PageSize}, {0xc003fff000, PageSize, 0},
			}},
		},
		Memory: bytes.NewReader(memory),
	}
}

func write(t *testing.T, p *Process) (*elf.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "core")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(f, p); err != nil {
		t.Fatal(err)
	}
	e, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, path
}

func TestSegments(t *testing.T) {
	p := example()
	e, path := write(t, p)
	if e.Type != elf.ET_CORE || e.Machine != elf.EM_X86_64 || len(e.Progs) != 3 {
		t.Fatalf("%+v with %d segments; want a core for x86-64 with 3", e.FileHeader, len(e.Progs))
	}
	for i, want := range p.Segments {
		got := e.Progs[i+1]
		if got.Type != elf.PT_LOAD || got.Vaddr != want.Start || got.Filesz != want.End-want.Start || got.Flags != want.Flags || got.Off%PageSize != 0 {
			t.Errorf("segment %d is %+v; want %#x to %#x, %v", i, got.ProgHeader, want.Start, want.End, want.Flags)
		}
	}
	for _, c := range []struct {
		prog int
		off  int64
		want byte
	}{{1, 0, 1}, {1, PageSize, 2}, {2, 0, 0}, {2, PageSize, 3}, {2, 2*PageSize - 1, 3}, {2, 2 * PageSize, 0}, {2, 64<<20 - 1, 0}} {
		var b [1]byte
		if _, err := e.Progs[c.prog].ReadAt(b[:], c.off); err != nil || b[0] != c.want {
			t.Errorf("segment %d at %#x is %d, %v; want %d", c.prog, c.off, b[0], err, c.want)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() < 64<<20 || used > 1<<20 {
		t.Errorf("the file has %d bytes and uses %d; want holes in 64 MiB", info.Size(), used)
	}
}

type noted struct {
	kind uint32
	desc []byte
}

func readNotes(t *testing.T, e *elf.File) (list []noted) {
	t.Helper()
	b, err := io.ReadAll(e.Progs[0].Open())
	if err != nil || e.Progs[0].Type != elf.PT_NOTE {
		t.Fatal(e.Progs[0].Type, err)
	}
	for len(b) > 0 {
		name, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if string(b[12:12+name]) != "CORE\x00" {
			t.Fatalf("a note of %q", b[12:12+name])
		}
		list = append(list, noted{binary.LittleEndian.Uint32(b[8:]), b[20 : 20+n]})
		b = b[20+(n+3)&^3:]
	}
	return list
}

func TestNotes(t *testing.T) {
	e, _ := write(t, example())
	list := readNotes(t, e)
	var kinds []uint32
	for _, n := range list {
		kinds = append(kinds, n.kind)
	}
	if len(list) != 5 || kinds[0] != 1 || kinds[1] != 3 || kinds[2] != noteAuxv || kinds[3] != noteFile || kinds[4] != 1 {
		t.Fatalf("notes of types %v; want thread, process, auxv, files, thread", kinds)
	}
	// Sizes and offsets are those of the C structures for x86-64.
	status := list[0].desc
	word := func(off int) uint64 { return binary.LittleEndian.Uint64(status[off:]) }
	if len(status) != 336 || status[12] != 6 || status[32] != 7 || word(112) != 15 || word(112+16*8) != 0x401000 || word(112+19*8) != 0x7fff0000 || word(112+26*8) != 99 {
		t.Errorf("thread note of %d bytes, %v", len(status), status)
	}
	info := list[1].desc
	if len(info) != 136 || string(info[40:56]) != "a-program-with-\x00" || !strings.HasPrefix(string(info[56:]), "a-program -x\x00") {
		t.Errorf("process note of %d bytes, %q", len(info), info)
	}
	if want := add(nil, []uint64{AuxEntry, 0x401000, 0, 0}); !bytes.Equal(list[2].desc, want) {
		t.Errorf("auxv %v; want %v", list[2].desc, want)
	}
	want := append(add(nil, []uint64{2, PageSize, 0x400000, 0x402000, 1, 0x402000, 0x403000, 3}), "/bin/a\x00/bin/a\x00"...)
	if !bytes.Equal(list[3].desc, want) {
		t.Errorf("files %q; want %q", list[3].desc, want)
	}
}

func TestMissingMemory(t *testing.T) {
	p := example()
	p.Segments[0].Runs = []Run{{0x400000, PageSize, 1 << 30}}
	f, err := os.Create(filepath.Join(t.TempDir(), "core"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(f, p); err == nil {
		t.Error("a run without memory is accepted")
	}
}

func TestTooManySegments(t *testing.T) {
	if err := Write(nil, &Process{Segments: make([]Segment, 70000)}); err == nil {
		t.Error("70000 segments are accepted")
	}
}
