package snapshot

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
)

// The tests' guest has 16 pages of RAM from physical address 1 MiB on. Its upper half maps all of it
// from upper on, its lower half what a test asks for.
const (
	ramBase  = 1 << 20
	ramPages = 16
	upper    = 0xffff800000000000
	root     = ramBase // pages 0 to 3 are the page tables of the lower half, 4 to 6 those of the upper
	stateAt  = upper + 8*core.PageSize
)

type fake struct {
	ram [ramPages * core.PageSize]byte
}

func (f *fake) put(phys uint64, values ...uint64) {
	for i, v := range values {
		binary.LittleEndian.PutUint64(f.ram[phys-ramBase+uint64(8*i):], v)
	}
}

// set writes words at an address of the upper half.
func (f *fake) set(va uint64, values ...uint64) { f.put(va-upper+ramBase, values...) }

func page0(n uint64) uint64 { return ramBase + n*core.PageSize }

func newFake() *fake {
	f := &fake{}
	const rw = pagePresent | pageWrite
	for t := range uint64(3) {
		f.put(page0(t), page0(t+1)|rw) // the lower half's entry 0 of each level
	}
	f.put(root+256*8, page0(4)|rw)
	f.put(page0(4), page0(5)|rw)
	f.put(page0(5), page0(6)|rw)
	for n := range uint64(ramPages) {
		f.put(page0(6)+8*n, page0(n)|rw)
	}
	return f
}

// mapPage maps a page below 2 MiB.
func (f *fake) mapPage(va, phys, bits uint64) { f.put(page0(3)+va>>12*8, phys|bits|pagePresent) }

// machine writes QEMU's dump of the guest and reads it.
func (f *fake) machine(t *testing.T, cpus ...CPU) *Machine {
	t.Helper()
	var notes []byte
	for _, c := range cpus {
		c.CR[3] = root
		desc, err := binary.Append(nil, binary.LittleEndian, &c)
		if err != nil {
			t.Fatal(err)
		}
		desc = append(desc, make([]byte, 8)...) // kernel_gs_base, which newer QEMUs add
		notes = binary.LittleEndian.AppendUint32(notes, 5)
		notes = binary.LittleEndian.AppendUint32(notes, uint32(len(desc)))
		notes = append(append(notes, "\x00\x00\x00\x00QEMU\x00\x00\x00\x00"...), desc...)
	}
	h := elf.Header64{Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	progs := []elf.Prog64{
		{Type: uint32(elf.PT_NOTE), Off: 176, Filesz: uint64(len(notes))},
		{Type: uint32(elf.PT_LOAD), Off: 176 + uint64(len(notes)), Paddr: ramBase, Filesz: uint64(len(f.ram)), Memsz: uint64(len(f.ram))},
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, &h)
	binary.Write(&b, binary.LittleEndian, progs)
	b.Write(notes)
	b.Write(f.ram[:])
	path := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadDump(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// Types as the image's DWARF would describe them: every field is a word.
var (
	word    = &dwarf.UintType{BasicType: dwarf.BasicType{CommonType: dwarf.CommonType{ByteSize: 8}}}
	threadT = structOf("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		"ip", "flags", "fsbase", "state", "id", "all")
	cpuT  = structOf("cur", "inside")
	areaT = &dwarf.StructType{CommonType: dwarf.CommonType{ByteSize: 24}, Field: []*dwarf.StructField{
		{Name: "Area", Type: structOf("Start", "End", "Prot")},
	}}
	machT = func() *dwarf.StructType {
		sub := func(at int64, name string, fields ...string) *dwarf.StructField {
			s := structOf(fields...)
			for _, f := range s.Field {
				if p := pointers[f.Name]; p != nil {
					f.Type = p
				}
			}
			return &dwarf.StructField{Name: name, ByteOffset: at, Type: &dwarf.TypedefType{Type: s}}
		}
		return &dwarf.StructType{Field: []*dwarf.StructField{
			sub(0, "sched", "threads"), sub(8, "sig", "crashed", "fatal"), sub(24, "mem", "area", "narea"), sub(40, "smp", "cpu"),
		}}
	}()
	pointers = map[string]dwarf.Type{
		"threads": pointerTo(threadT), "crashed": pointerTo(threadT), "area": pointerTo(areaT),
		"cpu": &dwarf.ArrayType{Type: pointerTo(cpuT), Count: 1},
	}
)

func init() {
	threadT.Field[len(threadT.Field)-1].Type = pointerTo(threadT)
}

func pointerTo(t dwarf.Type) dwarf.Type {
	return &dwarf.PtrType{CommonType: dwarf.CommonType{ByteSize: 8}, Type: t}
}

func structOf(fields ...string) *dwarf.StructType {
	s := &dwarf.StructType{CommonType: dwarf.CommonType{ByteSize: int64(8 * len(fields))}}
	for i, f := range fields {
		s.Field = append(s.Field, &dwarf.StructField{Name: f, ByteOffset: int64(8 * i), Type: word})
	}
	return s
}

const (
	threadDead = 5
	thread1    = stateAt + 0x100
	thread2    = stateAt + 0x200
	thread3    = stateAt + 0x300
	idle       = stateAt + 0x400
	cpu0       = stateAt + 0x500
	cpu1       = stateAt + 0x540
	areasAt    = stateAt + 0x600
)

// image describes the fake's state: threads 1 to 3, of which 3 is dead, and an idle one; CPU 0 runs
// thread 2.
func image(f *fake) *Image {
	f.set(stateAt, thread3, 0, 0, areasAt, 0, cpu0)
	put := func(at, n, state, next uint64) {
		for i := range uint64(22) {
			f.set(at+8*i, n<<8|i)
		}
		f.set(at+8*19, state, n, next)
	}
	put(thread3, 3, threadDead, thread2)
	put(thread2, 2, 0, thread1)
	put(thread1, 1, 1, idle)
	put(idle, 0, 0, 0)
	f.set(cpu0, thread2, 0)
	f.set(cpu1, idle, 0)
	return &Image{
		Path: "/a.elf", id: []byte("id"), idAt: upper + 7*core.PageSize, mach: stateAt, machType: machT, dead: threadDead,
		syscall: function{0x1000, 0x1100}, resume: function{0x1100, 0x1200},
		vectors: function{0x1200, 0x1600}, trap: function{0x1600, 0x1700},
	}
}

func process(t *testing.T, f *fake, im *Image, cpus ...CPU) *core.Process {
	t.Helper()
	copy(f.ram[7*core.PageSize:], "id")
	p, err := Process(f.machine(t, cpus...), im)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func onCPU(gs uint64) CPU {
	return CPU{RIP: 0x5000, RSP: 0x6000, RCX: 0x7000, R11: 0x246, RBP: 0x8000, GS: Selector{Base: gs}, FS: Selector{Base: 0x9000}}
}

func TestThreads(t *testing.T) {
	f := newFake()
	p := process(t, f, image(f), onCPU(cpu0), onCPU(cpu1), onCPU(0))
	if len(p.Threads) != 2 || p.Threads[0].ID != 2 || p.Threads[1].ID != 1 {
		t.Fatalf("threads %+v; want 2, which runs, and 1", p.Threads)
	}
	if r := p.Threads[0].Regs; r.RIP != 0x5000 || r.RSP != 0x6000 || r.FSBase != 0x9000 || r.CS != 0x33 {
		t.Errorf("thread 2 has %+v; want its CPU's registers", r)
	}
	if r := p.Threads[1].Regs; r.RAX != 0x100 || r.RSP != 0x107 || r.R15 != 0x10f || r.RIP != 0x110 || r.RFLAGS != 0x111 || r.FSBase != 0x112 {
		t.Errorf("thread 1 has %+v; want what was saved", r)
	}
}

// The crashed thread comes first, and is inside the machine half.
func TestCrashed(t *testing.T) {
	f := newFake()
	im := image(f)
	f.set(stateAt+8, thread1, 6)
	f.set(cpu0, thread1, 1)
	p := process(t, f, im, onCPU(cpu0))
	if th := p.Threads[0]; th.ID != 1 || th.Signal != 6 || th.Regs.RIP != 0x110 {
		t.Errorf("first thread %+v; want 1 with signal 6 and what was saved", th)
	}
	if p.Threads[1].Signal != 0 {
		t.Errorf("second thread %+v; want no signal", p.Threads[1])
	}
}

// A CPU may stop at the first or last instructions of the machine half.
func TestThreadsAtTheEntries(t *testing.T) {
	for _, c := range []struct {
		name         string
		rip          uint64
		ip, sp, flag uint64
	}{
		{"program", 0x5000, 0x5000, 0, 0},
		{"syscall", 0x1010, 0x7000, 0, 0x246},
		{"resume", 0x1110, 0x210, 0x207, 0x211},
		{"vector", 0x1208, 0x4444, 0x5555, 0x202},
		{"trap", 0x1610, 0x4444, 0x5555, 0x202},
	} {
		f := newFake()
		im := image(f)
		const stack = upper + 10*core.PageSize // top of the trap stack
		f.set(stack-40, 0x4444, 8, 0x202, 0x5555, 16)
		cpu := onCPU(cpu0)
		cpu.RIP = c.rip
		if c.name == "vector" || c.name == "trap" {
			cpu.RSP = stack - 56
		}
		if c.sp == 0 {
			c.sp = cpu.RSP
		}
		p := process(t, f, im, cpu)
		for _, th := range p.Threads {
			if r := th.Regs; th.ID == 2 && (r.RIP != c.ip || r.RSP != c.sp || r.RFLAGS != c.flag) {
				t.Errorf("%s: thread at %#x, stack %#x, flags %#x; want %#x, %#x, %#x", c.name, r.RIP, r.RSP, r.RFLAGS, c.ip, c.sp, c.flag)
			}
		}
	}
}

func TestMappings(t *testing.T) {
	f := newFake()
	im := image(f)
	// Two areas are accessible, one is not; one of the lists is damaged.
	f.set(areasAt, 0x10000, 0x13000, 3, 0x20000, 0x30000, 1<<8, 0x8000, 0x9000, 3, 0x40000, 0x42000, 5)
	f.set(stateAt+24, areasAt, 4)
	f.mapPage(0x10000, page0(12), pageWrite|pageNX)
	f.mapPage(0x11000, page0(13), pageWrite|pageNX)
	f.mapPage(0x12000, page0(9), pageWrite|pageNX)
	f.mapPage(0x41000, page0(10), 0)
	f.mapPage(0x50000, page0(11), pageNX)
	f.mapPage(0x60000, 1<<40, 0) // not in RAM
	f.ram[11*core.PageSize] = 7
	p := process(t, f, im, onCPU(cpu0))
	want := []core.Segment{
		{Start: 0x10000, End: 0x13000, Flags: elf.PF_R | elf.PF_W, Runs: []core.Run{{Addr: 0x10000, Len: 0x2000, Offset: page0(12)}, {Addr: 0x12000, Len: 0x1000, Offset: page0(9)}}},
		{Start: 0x40000, End: 0x42000, Flags: elf.PF_R | elf.PF_X, Runs: []core.Run{{Addr: 0x41000, Len: 0x1000, Offset: page0(10)}}},
		{Start: 0x50000, End: 0x51000, Flags: elf.PF_R, Runs: []core.Run{{Addr: 0x50000, Len: 0x1000, Offset: page0(11)}}},
	}
	if len(p.Segments) != len(want) {
		t.Fatalf("segments %+v; want %+v", p.Segments, want)
	}
	for i, w := range want {
		g := p.Segments[i]
		same := g.Start == w.Start && g.End == w.End && g.Flags == w.Flags && len(g.Runs) == len(w.Runs)
		for j := 0; same && j < len(w.Runs); j++ {
			same = g.Runs[j] == w.Runs[j]
		}
		if !same {
			t.Errorf("segment %+v; want %+v", g, w)
		}
	}
	var b [1]byte
	if _, err := p.Memory.ReadAt(b[:], int64(want[2].Runs[0].Offset)); err != nil || b[0] != 7 {
		t.Errorf("memory of the last segment: %d, %v; want 7", b[0], err)
	}
}

func TestDamagedGuests(t *testing.T) {
	try := func(name string, damage func(*fake, *Image)) error {
		f := newFake()
		im := image(f)
		copy(f.ram[7*core.PageSize:], "id")
		damage(f, im)
		p, err := Process(f.machine(t, onCPU(cpu0)), im)
		if err == nil && len(p.Threads) != 2 {
			t.Errorf("%s: %d threads; want 2", name, len(p.Threads))
		}
		return err
	}
	if err := try("a list without an end", func(f *fake, im *Image) { f.set(thread1+8*21, thread3) }); err != nil {
		t.Errorf("a list without an end: %v", err)
	}
	if err := try("a wild pointer", func(f *fake, im *Image) { f.set(thread1+8*21, 0x123456789000) }); err == nil {
		t.Error("a list that leads nowhere is accepted")
	}
	if err := try("no threads", func(f *fake, im *Image) { f.set(stateAt, 0) }); !errors.Is(err, ErrStarting) {
		t.Errorf("without threads: %v; want ErrStarting", err)
	}
	if err := try("another image", func(f *fake, im *Image) { im.id = []byte("xx") }); err == nil {
		t.Error("another image is accepted")
	}
	if err := try("tables in a circle", func(f *fake, im *Image) { f.put(page0(1), root|pagePresent) }); err != nil {
		t.Errorf("page tables that contain each other: %v", err)
	}
}

func FuzzReadDump(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "dump")
		os.WriteFile(path, b, 0o600)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if m, err := ReadDump(file); err == nil {
			var buf [16]byte
			m.ReadAt(buf[:], 0)
		}
	})
}

func TestReadCPUsRefusesNonsense(t *testing.T) {
	for _, b := range []string{
		"\x05\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00QEMU\x00\x00\x00\x00",
		"\x05\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00QEMU\x00\x00\x00\x00abcd",
	} {
		if cpus, err := readCPUs([]byte(b)); err == nil {
			t.Errorf("%q gives %+v; want an error", b, cpus)
		}
	}
}
