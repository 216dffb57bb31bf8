package boot

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// ram is physical memory for the tests, from address 0 on.
type ram []byte

func (r ram) read(addr uint64, n int) []byte {
	if addr > uint64(len(r)) || uint64(n) > uint64(len(r))-addr {
		return nil
	}
	return r[addr : addr+uint64(n)]
}

func startInfo() ram {
	r := make(ram, 4096)
	le := binary.LittleEndian
	le.PutUint32(r[0:], pvhMagic)
	le.PutUint32(r[4:], 1)
	le.PutUint32(r[12:], 1)     // modules
	le.PutUint64(r[16:], 0x200) // their list
	le.PutUint64(r[24:], 0x300) // command line
	le.PutUint64(r[32:], 0xf1234)
	le.PutUint64(r[40:], 0x100) // memory map
	le.PutUint32(r[48:], 3)
	for i, e := range []struct {
		start, size uint64
		typ         uint32
	}{{0, 0xa0000, 1}, {0xf0000, 0x10000, 2}, {0x100000, 0xff00000, 1}} {
		le.PutUint64(r[0x100+i*24:], e.start)
		le.PutUint64(r[0x108+i*24:], e.size)
		le.PutUint32(r[0x110+i*24:], e.typ)
	}
	le.PutUint64(r[0x200:], 0x5000000)
	le.PutUint64(r[0x208:], 0x1234)
	return r
}

func TestParsePVH(t *testing.T) {
	var info Info
	if e := ParsePVH(&info, 0, startInfo().read); e != "" {
		t.Fatal(e)
	}
	if info.NRAM != 2 || info.RAM[1] != (Region{0x100000, 0x10000000}) {
		t.Errorf("RAM = %v", info.RAM[:info.NRAM])
	}
	if info.NModules != 1 || info.Modules[0] != (Region{0x5000000, 0x5001234}) {
		t.Errorf("modules = %v", info.Modules[:info.NModules])
	}
	if info.CommandLine != 0x300 || info.RSDP != 0xf1234 {
		t.Errorf("command line %#x, RSDP %#x", info.CommandLine, info.RSDP)
	}
}

func TestParsePVHErrors(t *testing.T) {
	for name, spoil := range map[string]func(ram){
		"magic":   func(r ram) { r[0]++ },
		"version": func(r ram) { r[4] = 0 },
		"map":     func(r ram) { r[46] = 0xff },
		"no RAM":  func(r ram) { r[48] = 0 },
	} {
		r := startInfo()
		spoil(r)
		var info Info
		if ParsePVH(&info, 0, r.read) == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParsePVH(f *testing.F) {
	f.Add([]byte(startInfo()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var info Info
		if ParsePVH(&info, 0, ram(b).read) != "" {
			return
		}
		for _, r := range info.RAM[:info.NRAM] {
			if r.Start >= r.End {
				t.Fatalf("empty region %v", r)
			}
		}
	})
}

func TestSubtract(t *testing.T) {
	var l [MaxRegions]Region
	l[0], l[1] = Region{0, 100}, Region{200, 300}
	n := Subtract(&l, 2, Region{50, 60})
	n = Subtract(&l, n, Region{190, 210})
	n = Subtract(&l, n, Region{0, 50})
	got := append([]Region{}, l[:n]...)
	want := []Region{{210, 300}, {60, 100}}
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || g == w
		}
		if !found || len(got) != len(want) {
			t.Fatalf("got %v; want %v", got, want)
		}
	}
}

func TestNextWord(t *testing.T) {
	line := []byte(`  ip=dhcp arg="a b" env.X="q\"\\\n\x41" arg="" x"y z"w `)
	want := []string{"ip=dhcp", "arg=a b", "env.X=q\"\\\nA", "arg=", "xy zw"}
	for _, w := range want {
		word, rest, more := NextWord(line, make([]byte, len(line)))
		if !more || string(word) != w {
			t.Fatalf("got %q, %v; want %q", word, more, w)
		}
		line = rest
	}
	if _, _, more := NextWord(line, nil); more {
		t.Error("a word after the last")
	}
}

func FuzzNextWord(f *testing.F) {
	f.Add([]byte(`a "b c" d\x4`))
	f.Add([]byte(`"\`))
	f.Fuzz(func(t *testing.T, line []byte) {
		for n := 0; ; n++ {
			before := len(line)
			word, rest, more := NextWord(line, make([]byte, len(line)))
			if !more {
				return
			}
			if len(rest) >= before || len(word) > before || bytes.HasPrefix(word, []byte(" ")) && line[0] != '"' && !bytes.Contains(line, []byte(`"`)) {
				t.Fatalf("no progress at %q", line)
			}
			line = rest
		}
	})
}

func TestCutNumber(t *testing.T) {
	const most = 1<<64 - 1
	for _, tt := range []struct {
		in    string
		limit uint64
		n     uint64
		rest  string
		ok    bool
	}{
		{"12", most, 12, "", true},
		{"12:3", most, 12, ":3", true},
		{"0x1fG", most, 0x1f, "G", true},
		{"0xABC", most, 0xabc, "", true},
		{"1a", most, 1, "a", true},
		{"0", 0, 0, "", true},
		{"007", 7, 7, "", true},
		{"8", 7, 0, "", false},
		{"65535", 65535, 65535, "", true},
		{"65536", 65535, 0, "", false},
		{"18446744073709551615", most, most, "", true},
		{"18446744073709551616", most, 0, "", false},
		{"0xffffffffffffffff", most, most, "", true},
		{"0x10000000000000000", most, 0, "", false},
		{"", most, 0, "", false},
		{"0x", most, 0, "", false},
		{"-1", most, 0, "", false},
		{" 1", most, 0, "", false},
	} {
		n, rest, ok := CutNumber([]byte(tt.in), tt.limit)
		if ok != tt.ok || ok && (n != tt.n || string(rest) != tt.rest) {
			t.Errorf("CutNumber(%q, %d) = %d, %q, %v; want %d, %q, %v", tt.in, tt.limit, n, rest, ok, tt.n, tt.rest, tt.ok)
		}
	}
}
