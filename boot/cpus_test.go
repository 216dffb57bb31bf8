package boot

import (
	"encoding/binary"
	"slices"
	"testing"
)

// fix sets the byte at index i so that the bytes of b sum up to 0.
func fix(b []byte, i int) { b[i] -= checksum(b) }

// acpiMachine has an RSDP at 0xf0000, a root table and a MADT with the given
// entries.
func acpiMachine(xsdt bool, entries ...[]byte) ram {
	r := make(ram, 1<<20)
	le := binary.LittleEndian
	table := func(at int, sig string, body []byte) {
		t := r[at : at+36+len(body)]
		copy(t, sig)
		le.PutUint32(t[4:], uint32(len(t)))
		copy(t[36:], body)
		fix(t, 9)
	}
	madt := make([]byte, 8)
	for _, e := range entries {
		madt = append(madt, e...)
	}
	table(0x3000, "APIC", madt)
	table(0x2000, "FACP", make([]byte, 80))
	p := r[0xf0000:]
	copy(p, "RSD PTR ")
	if xsdt {
		table(0x1000, "XSDT", le.AppendUint64(le.AppendUint64(nil, 0x2000), 0x3000))
		p[15] = 2
		le.PutUint64(p[24:], 0x1000)
	} else {
		table(0x1000, "RSDT", le.AppendUint32(le.AppendUint32(nil, 0x2000), 0x3000))
		le.PutUint32(p[16:], 0x1000)
	}
	fix(p[:20], 8)
	fix(p[:36], 32)
	return r
}

func localAPIC(id, flags byte) []byte { return []byte{0, 8, id, id, flags, 0, 0, 0} }

func localX2APIC(id uint32) []byte {
	e := make([]byte, 16)
	e[0], e[1], e[8] = 9, 16, 1
	binary.LittleEndian.PutUint32(e[4:], id)
	return e
}

// mpMachine has the tables of the MultiProcessor Specification for CPUs with the IDs, and for
// one that is not enabled.
func mpMachine(at int, ids ...byte) ram {
	r := make(ram, 1<<20)
	le := binary.LittleEndian
	table := []byte("PCMP")
	table = append(table, make([]byte, 40)...)
	for _, id := range append(ids, 200) {
		e := make([]byte, 20)
		e[1], e[3] = id, 1
		if id == 200 {
			e[3] = 0
		}
		table = append(table, e...)
	}
	table = append(table, 1, 0, 'I', 'S', 'A', 0, 0, 0)
	le.PutUint16(table[4:], uint16(len(table)))
	fix(table, 7)
	copy(r[0x9000:], table)
	p := r[at : at+16]
	copy(p, "_MP_")
	le.PutUint32(p[4:], 0x9000)
	p[8], p[9] = 1, 4
	fix(p, 10)
	return r
}

func TestFindCPUs(t *testing.T) {
	ebda := mpMachine(0x80010, 0, 1)
	ebda[0x40f] = 0x80
	many := make([]byte, 0)
	for i := range MaxCPUs + 3 {
		many = append(many, localAPIC(byte(i), 1)...)
	}
	for name, tt := range map[string]struct {
		mem  ram
		rsdp uint64
		want []uint32
		left int
	}{
		"XSDT":            {acpiMachine(true, localAPIC(0, 1), localAPIC(4, 1), []byte{1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0xf0000, []uint32{0, 4}, 0},
		"RSDT":            {acpiMachine(false, localAPIC(2, 1), localAPIC(1, 1)), 0xf0000, []uint32{2, 1}, 0},
		"hot-plug places": {acpiMachine(true, localAPIC(0, 1), localAPIC(1, 0), localAPIC(2, 2), localAPIC(255, 1)), 0xf0000, []uint32{0}, 0},
		"x2APIC":          {acpiMachine(true, localAPIC(0, 1), localX2APIC(300), localX2APIC(0)), 0xf0000, []uint32{0, 300}, 0},
		"many":            {acpiMachine(true, many), 0xf0000, nil, 3},
		"cut entry":       {acpiMachine(true, localAPIC(0, 1), []byte{0, 8, 1}), 0xf0000, []uint32{0}, 0},
		"endless entry":   {acpiMachine(true, localAPIC(0, 1), []byte{0, 0, 1}), 0xf0000, []uint32{0}, 0},
		"MP, base memory": {mpMachine(639<<10, 0, 1, 2), 0, []uint32{0, 1, 2}, 0},
		"MP, ROM":         {mpMachine(0xfff0, 0), 0, nil, 0},
		"MP, BIOS":        {mpMachine(0xf1230, 0, 3), 0, []uint32{0, 3}, 0},
		"MP, EBDA":        {ebda, 0, []uint32{0, 1}, 0},
		"nothing":         {make(ram, 1<<20), 0, nil, 0},
		"no memory":       {nil, 0xf0000, nil, 0},
	} {
		var c CPUs
		FindCPUs(&c, tt.rsdp, tt.mem.read)
		if name == "many" {
			if c.N != MaxCPUs || c.Left != 3 {
				t.Errorf("%s: %d CPUs and %d left; want %d and 3", name, c.N, c.Left, MaxCPUs)
			}
			continue
		}
		if got := c.APIC[:c.N]; !slices.Equal(got, tt.want) || c.Left != tt.left {
			t.Errorf("%s: %v, %d left; want %v, %d", name, got, c.Left, tt.want, tt.left)
		}
	}
}

// A table with a wrong checksum is not used.
func TestFindCPUsChecksums(t *testing.T) {
	for _, at := range []int{0xf0009, 0x1001, 0x3030} {
		m := acpiMachine(true, localAPIC(0, 1))
		m[at]++
		var c CPUs
		if FindCPUs(&c, 0xf0000, m.read); c.N != 0 {
			t.Errorf("byte %#x is wrong, and %d CPUs were found", at, c.N)
		}
	}
	m := mpMachine(639<<10, 0)
	m[0x9010]++
	var c CPUs
	if FindCPUs(&c, 0, m.read); c.N != 0 {
		t.Errorf("a damaged MP table gave %d CPUs", c.N)
	}
}

func FuzzFindCPUs(f *testing.F) {
	f.Add([]byte(acpiMachine(true, localAPIC(0, 1), localX2APIC(9))[:0x4000]), []byte(acpiMachine(true)[0xf0000:0xf0024]), true)
	f.Add([]byte(mpMachine(639<<10, 0, 1)[:0xa000]), []byte(mpMachine(0xf0000)[0xf0000:0xf0010]), false)
	f.Fuzz(func(t *testing.T, low, high []byte, withRSDP bool) {
		mem := func(addr uint64, n int) []byte {
			if addr >= 0xf0000 {
				return ram(high).read(addr-0xf0000, n)
			}
			return ram(low).read(addr, n)
		}
		rsdp := uint64(0)
		if withRSDP {
			rsdp = 0xf0000
		}
		var c CPUs
		FindCPUs(&c, rsdp, mem)
		if c.N < 0 || c.N > MaxCPUs {
			t.Fatalf("%d CPUs", c.N)
		}
	})
}
