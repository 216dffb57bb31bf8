package acpi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/yolk-unikernel/yolk/boot/acpi"
)

// A dump has the tables of a machine: records of an address (8 bytes), a length (4 bytes) and
// the bytes there; the first is the root pointer. The dumps in testdata were read from QEMU 7.2
// with the monitor's pmemsave after the firmware had run:
//
//	q35           -machine q35 -smp 2 -nic none
//	pc            -machine pc -smp 1 -nic none
//	q35-vmgenid   -machine q35 -m 64M -smp 1 -nic none -device vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87
//	microvm       -machine microvm,acpi=on -smp 2, one network and one entropy device
//	microvm-pcie  -machine microvm,acpi=on,pcie=on,ioapic2=on -smp 1, one entropy device
type dump []record

type record struct {
	addr uint64
	data []byte
}

func parseDump(b []byte) (d dump) {
	for len(b) >= 12 {
		n := min(int(binary.LittleEndian.Uint32(b[8:])), len(b)-12)
		d = append(d, record{binary.LittleEndian.Uint64(b), b[12 : 12+n]})
		b = b[12+n:]
	}
	return d
}

func load(t testing.TB, name string) dump {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".acpi"))
	if err != nil {
		t.Fatal(err)
	}
	return parseDump(b)
}

// memory returns the dump as physical memory.
func (d dump) memory(addr uint64, n int) []byte {
	for _, r := range d {
		if off := addr - r.addr; addr >= r.addr && off <= uint64(len(r.data)) && n >= 0 && uint64(n) <= uint64(len(r.data))-off {
			return r.data[off : off+uint64(n)]
		}
	}
	return nil
}

// find returns a table, to be damaged.
func (d dump) find(signature string) []byte {
	for _, r := range d {
		if bytes.HasPrefix(r.data, []byte(signature)) {
			return r.data
		}
	}
	return nil
}

// fix corrects a table's checksum.
func fix(table []byte) {
	table[9] = 0
	s := byte(0)
	for _, c := range table {
		s -= c
	}
	table[9] = s
}

var (
	ioapic  = []acpi.IOAPIC{{ID: 0, Address: 0xfec00000}}
	ioapics = []acpi.IOAPIC{{ID: 0, Address: 0xfec00000}, {ID: 1, Address: 0xfec10000, GSIBase: 24}}
	isa     = []acpi.Override{{IRQ: 0, GSI: 2}, {IRQ: 5, GSI: 5, Level: true}, {IRQ: 9, GSI: 9, Level: true}, {IRQ: 10, GSI: 10, Level: true}, {IRQ: 11, GSI: 11, Level: true}}
	pm1     = []acpi.Write{{Space: acpi.SpaceIO, Address: 0x604, Width: 16, Value: 0x2000}}
	ged     = []acpi.Write{{Space: acpi.SpaceMemory, Address: 0xfea00200, Width: 8, Value: 0x34}}
	button  = acpi.PowerButton{IRQ: 9, Status: []uint16{0x600}, Enable: []uint16{0x602}, Control: 0x604, SMICommand: 0xb2, EnableACPI: 2}
	button4 = acpi.PowerButton{IRQ: 9, Status: []uint16{0x600}, Enable: []uint16{0x602}, Control: 0x604, SMICommand: 0xb2, EnableACPI: 0xf1}
	events  = &acpi.EventDevice{GSI: 9, Address: 0xfea00000, Width: 32, PowerButton: 2}
	slot23  = acpi.VirtioMMIO{Address: 0xfeb02e00, Size: 0x200, GSI: 47, Level: true}
	slot22  = acpi.VirtioMMIO{Address: 0xfeb02c00, Size: 0x200, GSI: 46, Level: true}
)

// content is all that tables say.
type content struct {
	IOAPICs   []acpi.IOAPIC
	Overrides []acpi.Override
	Virtio    []acpi.VirtioMMIO
	PowerOff  []acpi.Write
	Button    *acpi.PowerButton
	Events    *acpi.EventDevice
	Resume    acpi.Resume
}

func all(i *acpi.Info) content {
	r, _ := i.Resume()
	return content{i.IOAPICs, i.Overrides, i.Virtio, i.PowerOff(), i.Button(), i.Events(), r}
}

var machines = map[string]content{
	"q35": {IOAPICs: ioapic, Overrides: isa, PowerOff: pm1, Button: &button},
	"q35-vmgenid": {IOAPICs: ioapic, Overrides: isa, PowerOff: pm1, Button: &button,
		Resume: acpi.Resume{Generation: 0x3fff028, Event: &acpi.Event{Status: 0x620, Enable: 0x628, Mask: 0x20}}},
	"pc":           {IOAPICs: ioapic, Overrides: isa, PowerOff: pm1, Button: &button4},
	"microvm":      {IOAPICs: ioapics, PowerOff: ged, Virtio: []acpi.VirtioMMIO{slot23, slot22}, Events: events},
	"microvm-pcie": {IOAPICs: ioapics, PowerOff: ged, Virtio: []acpi.VirtioMMIO{slot23}, Events: events},
}

func TestParse(t *testing.T) {
	for name, want := range machines {
		d := load(t, name)
		got, err := acpi.Parse(d[0].addr, d.memory)
		if err != nil {
			t.Errorf("%s: Parse = %v", name, err)
		}
		if diff := cmp.Diff(want, all(got)); diff != "" {
			t.Errorf("%s: Parse differs (-want +got):\n%s", name, diff)
		}
	}
}

// Broken tables are reported, and the others are still used.
func TestParseBroken(t *testing.T) {
	put32 := binary.LittleEndian.PutUint32
	tests := []struct {
		name  string
		spoil func(d dump)
		want  error
		isa   int // number of ISA interrupts
		off   int // number of writes to power off
	}{
		{"intact", func(d dump) {}, nil, 5, 1},
		{"no RSDP", func(d dump) { d[0].data[0] = 'X' }, acpi.ErrNoRSDP, 0, 0},
		{"RSDP checksum", func(d dump) { d[0].data[8]++ }, acpi.ErrNoRSDP, 0, 0},
		{"root table elsewhere", func(d dump) { put32(d[0].data[16:], 0xfffffff0); d[0].data[8] = 0; d[0].data[8] = -sum(d[0].data) }, acpi.ErrRoot, 0, 0},
		{"root table checksum", func(d dump) { d.find("RSDT")[9]++ }, acpi.ErrRoot, 0, 0},
		{"root table too long", func(d dump) { put32(d.find("RSDT")[4:], 1<<31) }, acpi.ErrRoot, 0, 0},
		{"root table too short", func(d dump) { put32(d.find("RSDT")[4:], 8) }, acpi.ErrRoot, 0, 0},
		{"table elsewhere", func(d dump) { r := d.find("RSDT"); put32(r[36+12:], 4); fix(r) }, acpi.ErrTable, 5, 1},
		{"MADT checksum", func(d dump) { d.find("APIC")[40]++ }, acpi.ErrTable, 0, 1},
		{"MADT entry of length 0", func(d dump) { m := d.find("APIC"); m[83] = 0; fix(m) }, acpi.ErrMADT, 1, 1},
		{"MADT entry beyond the end", func(d dump) { m := d.find("APIC"); m[83] = 255; fix(m) }, acpi.ErrMADT, 1, 1},
		{"MADT entry too short", func(d dump) { m := d.find("APIC"); m[83] = 6; fix(m) }, acpi.ErrMADT, 1, 1},
		{"FADT length", func(d dump) { f := d.find("FACP"); put32(f[4:], 100); fix(f[:100]) }, acpi.ErrFADT, 5, 0},
		{"DSDT elsewhere", func(d dump) { f := d.find("FACP"); put32(f[40:], 0); put32(f[140:], 0); fix(f) }, acpi.ErrNoDSDT, 5, 0},
		{"DSDT checksum", func(d dump) { d.find("DSDT")[100]++ }, acpi.ErrNoDSDT, 5, 0},
		{"DSDT without S5", func(d dump) {
			t := d.find("DSDT")
			t[bytes.Index(t, []byte("_S5_"))] = 'X'
			fix(t)
		}, nil, 5, 0},
	}
	for _, tt := range tests {
		d := load(t, "q35")
		tt.spoil(d)
		got, err := acpi.Parse(d[0].addr, d.memory)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: Parse = %v; want %v", tt.name, err, tt.want)
		}
		if len(got.Overrides) != tt.isa || len(got.PowerOff()) != tt.off {
			t.Errorf("%s: %d ISA interrupts, %d writes to power off; want %d, %d",
				tt.name, len(got.Overrides), len(got.PowerOff()), tt.isa, tt.off)
		}
	}
}

func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}

func TestNoTables(t *testing.T) {
	if _, err := acpi.Parse(0, func(uint64, int) []byte { return nil }); !errors.Is(err, acpi.ErrNoRSDP) {
		t.Errorf("Parse without memory = %v; want %v", err, acpi.ErrNoRSDP)
	}
}

// table makes a table with a correct checksum.
func table(signature string, body []byte) []byte {
	t := append([]byte(signature), make([]byte, 32)...)
	t = append(t, body...)
	binary.LittleEndian.PutUint32(t[4:], uint32(len(t)))
	fix(t)
	return t
}

// rsdpAt is where machine has the root pointer.
const rsdpAt = 0xe0010

// machine makes memory with the given MADT entries and DSDT.
func machine(madt, aml []byte) acpi.Memory {
	fadt := make([]byte, 116-36)
	binary.LittleEndian.PutUint32(fadt[4:], 0x4000)
	binary.LittleEndian.PutUint32(fadt[64-36:], 0x604)
	binary.LittleEndian.PutUint32(fadt[68-36:], 0x704)
	root := []byte{0, 0x20, 0, 0, 0, 0x30, 0, 0}
	rsdp := append([]byte("RSD PTR \x00test  \x00"), 0, 0x10, 0, 0)
	rsdp[8] = -sum(rsdp)
	return dump{
		{rsdpAt, rsdp},
		{0x1000, table("RSDT", root)},
		{0x2000, table("APIC", append(make([]byte, 8), madt...))},
		{0x3000, table("FACP", fadt)},
		{0x4000, table("DSDT", aml)},
	}.memory
}

// §5.2.12: entries that are not about interrupts are ignored.
func TestMADTEntries(t *testing.T) {
	got, err := acpi.Parse(rsdpAt, machine([]byte{
		0, 8, 7, 3, 1, 0, 0, 0,
		9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0,
		2, 10, 0, 9, 20, 0, 0, 0, 0xf, 0,
		1, 12, 3, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0,
		200, 3, 0, // of a later version
	}, nil))
	want := content{
		IOAPICs:   []acpi.IOAPIC{{ID: 3, Address: 0xfec10000, GSIBase: 24}},
		Overrides: []acpi.Override{{IRQ: 9, GSI: 20, Level: true, ActiveLow: true}}}
	if diff := cmp.Diff(want, all(got)); diff != "" || err != nil {
		t.Errorf("Parse = %v, differs (-want +got):\n%s", err, diff)
	}
}

func TestS5(t *testing.T) {
	for aml, want := range map[string][]uint32{
		"\x08_S5_\x12\x07\x04\x0a\x05\x0a\x06\x00":         {5, 6},
		"\x08\\_S5_\x12\x06\x02\x01\x01":                   nil, // longer than the table
		"\x08\\_S5_\x12\x04\x02\x01\x01":                   {1, 1},
		"\x08_S5_\x12\x40\x00":                             nil,
		"\x08_S5_\x12\x47\x00\x02\x0b\x07\x00\x0b":         {7, 7},
		"\x08_S5_\x12\x03\x01\x0a":                         nil,
		"\x08_S5_\x12\x02\x00":                             nil,
		"\x08_S5_\x12":                                     nil,
		"\x08_S5_\x08\x08_S5_\x12\x04\x02\x00\x00":         {0, 0},
		"\x08_S5_\x12\x09\x02\x0c\x03\x00\x00\x00\xff\x00": {3, 7},
	} {
		got, err := acpi.Parse(rsdpAt, machine(nil, []byte(aml)))
		var typs []uint32
		for i, w := range got.PowerOff() {
			if w.Address != uint64(0x604+0x100*i) || w.Value&^(7<<10) != 1<<13 {
				t.Errorf("%q: write %+v", aml, w)
			}
			typs = append(typs, w.Value>>10&7)
		}
		if diff := cmp.Diff(want, typs); diff != "" || err != nil {
			t.Errorf("%q: %v, SLP_TYP differ (-want +got):\n%s", aml, err, diff)
		}
	}
}

// device encodes a device with a resource template and more objects.
func device(hid, crs string, more ...string) string {
	crs = "\x0a" + string(rune(len(crs))) + crs
	body := "VR00\x08_HID\x0d" + hid + "\x00\x08_CRS\x11" + string(rune(len(crs)+1)) + crs + strings.Join(more, "")
	n := len(body) + 2
	return "\x5b\x82" + string([]byte{0x40 | byte(n&15), byte(n >> 4)}) + body
}

func TestVirtioDevices(t *testing.T) {
	const (
		mem    = "\x86\x09\x00\x01\x00\x10\xb0\xfe\x00\x02\x00\x00"
		irq    = "\x89\x06\x00\x07\x01\x21\x00\x00\x00" // edge, active low
		end    = "\x79\x00"
		memory = 0xfeb01000
	)
	good := acpi.VirtioMMIO{Address: memory, Size: 0x200, GSI: 33, ActiveLow: true}
	for _, tt := range []struct {
		name, aml string
		want      []acpi.VirtioMMIO
	}{
		{"one", device("LNRO0005", mem+irq+end), []acpi.VirtioMMIO{good}},
		{"interrupt first", device("LNRO0005", irq+mem+end), []acpi.VirtioMMIO{good}},
		{"another device", device("LNRO0006", mem+irq+end), nil},
		{"resources of the next device", device("LNRO0005", end) + device("LNRO0006", mem+irq+end), nil},
		{"no interrupt", device("LNRO0005", mem+end), nil},
		{"no memory", device("LNRO0005", irq+end), nil},
		{"descriptor beyond the buffer", device("LNRO0005", mem+irq[:7]), nil},
		{"large descriptor cut", device("LNRO0005", mem+"\x89\x06"), nil},
		{"ISA interrupt", device("LNRO0005", mem+"\x22\x20\x00"+end), []acpi.VirtioMMIO{{Address: memory, Size: 0x200, GSI: 5}}},
		{"address beyond 4 GiB", device("LNRO0005", "\x8a\x2b\x00\x00\x0c\x03"+zeros(8)+"\x00\x00\x00\x00\x08\x00\x00\x00"+
			zeros(16)+"\x00\x10\x00\x00\x00\x00\x00\x00"+irq+end),
			[]acpi.VirtioMMIO{{Address: 8 << 32, Size: 4096, GSI: 33, ActiveLow: true}}},
	} {
		got, err := acpi.Parse(rsdpAt, machine(nil, []byte(tt.aml)))
		if diff := cmp.Diff(tt.want, got.Virtio); diff != "" || err != nil {
			t.Errorf("%s: %v, differs (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// Tables of other VMMs have paths instead of names, one byte of events, the bit compared in a
// separate condition, and the _HID as a number.
func TestEventDevice(t *testing.T) {
	method := func(bits string) string {
		return "\x14\x20_EVT\x09\x70GDAT\x60\x7b\x60\x0a\x08\x61\xa0\x12\x93\x61" + bits + "\x86\\._SB_PBTN\x0a\x80"
	}
	region := "\x5b\x80GDST\x00\x0e\x00\x00\x00\x00\x08\x00\x00\x00\x01"
	button := "\x5b\x82\x0fPBTN\x08_HID\x0c\x41\xd0\x0c\x0c"
	const irq, end = "\x89\x06\x00\x03\x01\x05\x00\x00\x00", "\x79\x00"
	want := &acpi.EventDevice{GSI: 5, Address: 8 << 32, Width: 8, PowerButton: 8}
	one := *want
	one.PowerButton = 1
	for _, tt := range []struct {
		name, aml string
		want      *acpi.EventDevice
	}{
		{"button first", button + device("ACPI0013", irq+end, region, method("\x0a\x08")), want},
		{"button last", device("ACPI0013", irq+end, region, method("\x0a\x08")) + button, want},
		{"constant One", device("ACPI0013", irq+end, region, method("\x01")) + button, &one},
		{"constant of 16 bits", device("ACPI0013", irq+end, region, method("\x0b\x08\x00")) + button, want},
		{"bit beyond the register", device("ACPI0013", irq+end, region, method("\x0b\x00\x01")) + button, nil},
		{"no bit", device("ACPI0013", irq+end, region, method("\x00")) + button, nil},
		{"no button", device("ACPI0013", irq+end, region, method("\x0a\x08")), nil},
		{"no interrupt", button + device("ACPI0013", end, region, method("\x0a\x08")), nil},
		{"no register", button + device("ACPI0013", irq+end, method("\x0a\x08")), nil},
		{"register in I/O space", button + device("ACPI0013", irq+end, "\x5b\x80GDST\x01\x0b\x00\x06\x01", method("\x0a\x08")), nil},
		{"another device", button + device("ACPI0014", irq+end, region, method("\x0a\x08")), nil},
	} {
		got, err := acpi.Parse(rsdpAt, machine(nil, []byte(tt.aml)))
		if diff := cmp.Diff(tt.want, got.Events()); diff != "" || err != nil {
			t.Errorf("%s: %v, differs (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// §5.2.9: the fields that describe a power button.
func TestFixedButton(t *testing.T) {
	put16, put32 := binary.LittleEndian.PutUint16, binary.LittleEndian.PutUint32
	for _, tt := range []struct {
		name  string
		spoil func(fadt []byte)
		want  func(b *acpi.PowerButton)
	}{
		{"as it is", func([]byte) {}, func(*acpi.PowerButton) {}},
		{"button by another way", func(f []byte) { f[112] |= 1 << 4 }, nil},
		{"hardware-reduced", func(f []byte) { f[114] |= 1 << 4 }, nil},
		{"no registers", func(f []byte) { put32(f[56:], 0); put32(f[152:], 0) }, nil},
		{"registers at the end of the ports", func(f []byte) { put32(f[152:], 0xffff) }, nil},
		{"registers in memory", func(f []byte) { f[148] = 0 }, nil},
		{"registers of one byte", func(f []byte) { f[88] = 2 }, nil},
		{"no control register", func(f []byte) { put32(f[64:], 0); put32(f[176:], 0) }, nil},
		{"always in ACPI mode", func(f []byte) { put32(f[48:], 0) }, func(b *acpi.PowerButton) { b.SMICommand = 0 }},
		{"no value to enable", func(f []byte) { f[52] = 0 }, func(b *acpi.PowerButton) { b.SMICommand, b.EnableACPI = 0, 0 }},
		{"SCI beyond the ISA interrupts", func(f []byte) { put16(f[46:], 0x100) }, nil},
		{"two of each", func(f []byte) { put32(f[60:], 0x680) }, func(b *acpi.PowerButton) {
			b.Status, b.Enable = []uint16{0x600, 0x680}, []uint16{0x602, 0x682}
		}},
	} {
		d := load(t, "q35")
		f := d.find("FACP")
		tt.spoil(f)
		fix(f)
		got, err := acpi.Parse(d[0].addr, d.memory)
		var want *acpi.PowerButton
		if tt.want != nil {
			b := button
			want = &b
			tt.want(want)
		}
		if diff := cmp.Diff(want, got.Button()); diff != "" || err != nil {
			t.Errorf("%s: %v, differs (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func TestGSI(t *testing.T) {
	i := acpi.Info{Overrides: []acpi.Override{{IRQ: 0, GSI: 2}, {IRQ: 9, GSI: 20}}}
	for irq, want := range map[uint8]uint32{0: 2, 1: 1, 9: 20, 15: 15} {
		if got := i.GSI(irq); got != want {
			t.Errorf("GSI(%d) = %d; want %d", irq, got, want)
		}
	}
}

func zeros(n int) string { return string(make([]byte, n)) }

// small returns a dump without its large tables, which are for FuzzAML: what is found in 10
// KB takes the fuzzer minutes to make smaller.
func (d dump) small() (b []byte) {
	for _, r := range d {
		if len(r.data) <= 512 {
			b = binary.LittleEndian.AppendUint64(b, r.addr)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(r.data)))
			b = append(b, r.data...)
		}
	}
	return b
}

// FuzzTables reads any tables; their checksums are corrected, so that the fuzzer gets past
// them.
func FuzzTables(f *testing.F) {
	for name := range machines {
		f.Add(load(f, name).small())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := parseDump(bytes.Clone(b))
		if len(d) == 0 {
			return
		}
		if r := d[0].data; len(r) >= 36 {
			r[8] = 0
			r[8] = -sum(r[:20])
			r[32] = 0
			r[32] = -sum(r[:36])
		}
		for _, r := range d[1:] {
			if len(r.data) >= 36 {
				fix(r.data)
			}
		}
		info, err := acpi.Parse(d[0].addr, d.memory)
		if info == nil {
			t.Fatalf("Parse = nil, %v; want an Info in any case", err)
		}
		check(t, info)
	})
}
