package acpi_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/yolk-unikernel/yolk/boot/acpi"
)

// sized encodes an opcode with what its length covers (§20.2.4).
func sized(opcode, body string) string {
	n := len(body) + 2
	return opcode + string([]byte{0x40 | byte(n&15), byte(n >> 4)}) + body
}

func named(name, value string) string { return "\x08" + name + "\x0d" + value + "\x00" }

// resume reads what changes at a resume from tables that are good otherwise.
func resume(t *testing.T, mem acpi.Memory, rsdp uint64) (acpi.Resume, error) {
	t.Helper()
	info, err := acpi.Parse(rsdp, mem)
	if err != nil {
		t.Errorf("Parse = %v", err)
	}
	return info.Resume()
}

// §6.1.2: what tells a device is its _CID; where it is, ADDR.
func TestGenerationAddress(t *testing.T) {
	counter := named("_HID", "FCVMGID") + named("_CID", "VM_Gen_Counter") + named("_DDN", "VM_Gen_Counter")
	pair := func(low, high string) string {
		return sized("\x5b\x82", "VGEN"+counter+sized("\x08ADDR\x12", "\x02"+low+high))
	}
	sum := func(name, offset string) string {
		return sized("\x5b\x82", "VGEN"+counter+sized("\x14", "ADDR\x00\x70\x12\x02\x02\x60\x70\x72"+name+offset+"\x00\x88\x60\x00\x00\xa4\x60"))
	}
	const base = "\x08VGIA\x0c\x00\xf0\xff\x03"
	for _, tt := range []struct {
		name, aml string
		want      uint64
	}{
		{"two numbers", pair("\x0c\xf0\xff\x0d\x00", "\x00"), 0xdfff0},
		{"two numbers above 4 GiB", pair("\x0c\xf0\xff\x0d\x00", "\x0a\x02"), 0x2000dfff0},
		{"a sum", base + sum("VGIA", "\x0a\x28"), 0x3fff028},
		{"a sum, the name later", sum("VGIA", "\x0a\x28") + base, 0x3fff028},
		{"a sum of 16 bits", base + sum("VGIA", "\x0b\x00\x01"), 0x3fff100},
		{"a sum with another name", base + sum("VGIB", "\x0a\x28"), 0},
		{"a sum that the firmware has not set", "\x08VGIA\x0c\x00\x00\x00\x00" + sum("VGIA", "\x0a\x28"), 0},
		{"not aligned", pair("\x0a\x81", "\x00"), 0},
		{"at the end of memory", pair("\x0c\xf8\xff\xff\xff", "\xff"), 0},
		{"three numbers", sized("\x5b\x82", "VGEN"+counter+sized("\x08ADDR\x12", "\x03\x01\x01\x01")), 0},
		{"cut off", pair("\x0c\xf0\xff\x0d\x00", "\x00")[:30], 0},
		{"no ADDR", sized("\x5b\x82", "VGEN"+counter), 0},
		{"another device", strings.Replace(pair("\x0c\xf0\xff\x0d\x00", "\x00"), "_CID", "_CIX", 1), 0},
	} {
		got, err := resume(t, machine(nil, []byte(tt.aml)), rsdpAt)
		if got.Generation != tt.want || err != nil {
			t.Errorf("%s: generation at %#x, %v; want %#x", tt.name, got.Generation, err, tt.want)
		}
	}
}

func TestClock(t *testing.T) {
	crs := "\x8a\x2b\x00\x00\x0c\x01" + zeros(8) + "\x00\xe0\x0d\x00" + zeros(4) + "\xff\xef\x0d\x00" + zeros(4) + zeros(8) + "\x00\x10" + zeros(6) + "\x79\x00"
	body := "VCLK" + named("_HID", "AMZNC10C") + named("_CID", "VMCLOCK") + "\x08_CRS" + sized("\x11", "\x0a"+string(rune(len(crs)))+crs)
	for _, tt := range []struct {
		name, aml string
		want      *acpi.Region
	}{
		{"as Firecracker has it", sized("\x5b\x82", body), &acpi.Region{Address: 0xde000, Size: 0x1000}},
		{"beyond all memory", strings.Replace(sized("\x5b\x82", body), "\x00\xe0\x0d\x00"+zeros(4), "\x00\xf0\xff\xff\xff\xff\xff\xff", 1), nil},
		{"no memory", sized("\x5b\x82", body[:4]+named("_CID", "VMCLOCK")), nil},
	} {
		got, err := resume(t, machine(nil, []byte(tt.aml)), rsdpAt)
		if diff := cmp.Diff(tt.want, got.Clock); diff != "" || err != nil {
			t.Errorf("%s: %v, differs (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// A bad secondary table is reported and costs nothing else. (§5.2.9: the block of events.)
func TestGenerationEvent(t *testing.T) {
	const want = 0x3fff028
	event := &acpi.Event{Status: 0x620, Enable: 0x628, Mask: 0x20}
	for _, tt := range []struct {
		name  string
		spoil func(d dump)
		at    uint64
		want  *acpi.Event
		err   error
	}{
		{"intact", func(d dump) {}, want, event, nil},
		{"level-triggered", func(d dump) { replace(d, "_E05", "_L05") }, want, event, nil},
		{"a higher event", func(d dump) { replace(d, "_E05", "_E1F") }, want, &acpi.Event{Status: 0x623, Enable: 0x62b, Mask: 0x80}, nil},
		{"beyond the registers", func(d dump) { replace(d, "_E05", "_E40") }, want, nil, nil},
		{"no number", func(d dump) { replace(d, "_E05", "_E0Z") }, want, nil, nil},
		{"another device", func(d dump) { replace(d, "_SB_VGEN\x0a\x80", "_SB_VGEM\x0a\x80") }, want, nil, nil},
		{"no registers", func(d dump) { f := d.find("FACP"); f[92] = 0; fix(f) }, want, nil, nil},
		{"registers beyond the ports", func(d dump) { f := d.find("FACP"); copy(f[80:], "\xf8\xff\x00\x00"); clear(f[220:232]); fix(f) }, want, nil, nil},
		{"SSDT checksum", func(d dump) { d.find("SSDT")[9]++ }, 0, nil, acpi.ErrTable},
	} {
		d := load(t, "q35-vmgenid")
		tt.spoil(d)
		got, err := resume(t, d.memory, d[0].addr)
		if diff := cmp.Diff(tt.want, got.Event); diff != "" || got.Generation != tt.at || err != tt.err {
			t.Errorf("%s: %v, generation at %#x; want %v, %#x; differs (-want +got):\n%s", tt.name, err, got.Generation, tt.err, tt.at, diff)
		}
	}
}

// replace changes the SSDT.
func replace(d dump, old, new string) {
	s := d.find("SSDT")
	copy(s, bytes.Replace(s, []byte(old), []byte(new), 1))
	fix(s)
}

// A root table may name any table as often as it likes.
func TestManyTables(t *testing.T) {
	d := load(t, "q35-vmgenid")
	r := d.find("RSDT")
	ssdt := r[36+8 : 36+12]
	big := append([]byte(nil), r...)
	for len(big) < 1<<20-4 {
		big = append(big, ssdt...)
	}
	copy(big[4:], []byte{byte(len(big)), byte(len(big) >> 8), byte(len(big) >> 16), 0})
	fix(big)
	reads := 0
	memory := func(addr uint64, n int) []byte {
		for i := range d {
			if &d[i].data[0] == &r[0] && addr == d[i].addr {
				return big[:n]
			}
		}
		if n > 36 {
			reads++
		}
		return d.memory(addr, n)
	}
	if _, err := resume(t, memory, d[0].addr); err != nil || reads > 100 {
		t.Errorf("Resume = %v after reading %d tables; want at most 100", err, reads)
	}
}

// FuzzAML reads any code in a DSDT.
func FuzzAML(f *testing.F) {
	for name := range machines {
		for _, r := range load(f, name) {
			if bytes.HasPrefix(r.data, []byte("SSDT")) {
				f.Add(r.data[36:])
			}
		}
	}
	f.Add([]byte("\x08_S5_\x12\x07\x04\x0a\x05\x0a\x06\x00"))
	f.Add([]byte(device("LNRO0005", "\x86\x09\x00\x01\x00\x10\xb0\xfe\x00\x02\x00\x00\x89\x06\x00\x07\x01\x21\x00\x00\x00\x79\x00")))
	f.Add([]byte("\x08VGIA\x0c\x00\xf0\xff\x03" + sized("\x5b\x82", "VGEN"+named("_CID", "VM_Gen_Counter")+sized("\x14", "ADDR\x00\x72VGIA\x0a\x28\x00"))))
	f.Add([]byte(sized("\x5b\x82", "VCLK"+named("_CID", "VMCLOCK"))))
	f.Fuzz(func(t *testing.T, aml []byte) {
		info, err := acpi.Parse(rsdpAt, machine(nil, aml))
		if err != nil {
			t.Fatalf("Parse = %v", err)
		}
		check(t, info)
	})
}

// check looks for addresses that nobody may be given.
func check(t *testing.T, info *acpi.Info) {
	got := all(info)
	for _, w := range got.PowerOff {
		if w.Space == acpi.SpaceIO && w.Address > 0xffff {
			t.Errorf("write to I/O port %#x", w.Address)
		}
	}
	if g := got.Resume.Generation; g%8 != 0 || g+16 < g {
		t.Errorf("generation at %#x", g)
	}
	if c := got.Resume.Clock; c != nil && c.Address+c.Size <= c.Address {
		t.Errorf("clock at %#x, %#x bytes", c.Address, c.Size)
	}
	for _, v := range info.Virtio {
		if v.Address+v.Size <= v.Address {
			t.Errorf("virtio device at %#x, %#x bytes", v.Address, v.Size)
		}
	}
}
