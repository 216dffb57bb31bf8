package i8042_test

import (
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/i8042"
)

// Scan codes as the controllers of QEMU (set 1) and Firecracker (set 2) send
// them.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name       string
		translated bool
		bytes      string
		want       int
	}{
		{"set 1", true, "\x1d\x38\xe0\x53\xe0\xd3\xb8\x9d", 1},
		{"set 1, keys on the right", true, "\xe0\x38\xe0\x1d\x53\xd3", 1},
		{"set 1, alt before ctrl", true, "\x38\x1d\xe0\x53", 1},
		{"set 1, delete twice", true, "\x1d\x38\xe0\x53\xe0\xd3\xe0\x53", 2},
		{"set 1, ctrl released", true, "\x1d\x38\x9d\xe0\x53", 0},
		{"set 1, one of two ctrls released", true, "\x1d\xe0\x1d\x38\xe0\x9d\xe0\x53", 1},
		{"set 1, delete released only", true, "\x1d\x38\xe0\xd3", 0},
		{"set 1, no ctrl", true, "\x38\xe0\x53", 0},
		{"set 1, no alt", true, "\x1d\xe0\x53", 0},
		{"set 1, other keys", true, "\x1d\x2e\xae\x38\x10\x53", 1},
		{"set 2", false, "\x14\x11\xe0\x71", 1},
		{"set 2, with releases", false, "\x14\x11\xe0\x71\xe0\xf0\x71\xf0\x11\xf0\x14\xe0\x71", 1},
		{"set 2, ctrl released", false, "\x14\x11\xf0\x14\xe0\x71", 0},
		{"set 1's codes in set 2", false, "\x1d\x38\xe0\x53", 0},
	} {
		k := i8042.Keys{Translated: tt.translated}
		got := 0
		for i := range len(tt.bytes) {
			if k.Take(tt.bytes[i]) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: pressed %d times; want %d", tt.name, got, tt.want)
		}
	}
}

// controller is the other side of the ports.
type controller struct {
	mode    uint8
	out     []uint8 // bytes for the driver
	mouse   bool
	command uint8
	mute    bool // answers no command
	endless bool // always has a byte
}

func (c *controller) In(port uint16) uint8 {
	switch {
	case port == 0x64 && c.endless:
		return 1
	case port == 0x64 && len(c.out) == 0:
		return 0
	case port == 0x64 && c.mouse:
		return 0x21
	case port == 0x64:
		return 1
	case c.endless:
		return 0x1e
	}
	b := c.out[0]
	c.out = c.out[1:]
	return b
}

func (c *controller) Out(port uint16, v uint8) {
	switch {
	case port == 0x64 && v == 0x20 && !c.mute:
		c.out = append(c.out, c.mode)
	case port == 0x64:
		c.command = v
	case c.command == 0x60:
		c.mode, c.command = v, 0
	}
}

func TestController(t *testing.T) {
	hw := &controller{mode: 0x70, out: []uint8{0x1d, 0x38}} // translation, keyboard and mouse off; old keys
	c, err := i8042.New(hw)
	if err != nil {
		t.Fatal(err)
	}
	if hw.mode != 0x61 {
		t.Errorf("command byte %#x; want keyboard on, its interrupt on, the rest as it was: 0x61", hw.mode)
	}
	type step struct {
		bytes string
		mouse bool
		want  bool
	}
	for _, s := range []step{{"\x53", false, false}, {"\x1d\x38", false, false}, {"", false, false}, {"\xe0\x53", true, false}, {"\xe0\x53\xe0\xd3", false, true}} {
		hw.out, hw.mouse = []uint8(s.bytes), s.mouse
		if got := c.HandleInterrupt(); got != s.want {
			t.Errorf("after %q (mouse %v): pressed %v; want %v", s.bytes, s.mouse, got, s.want)
		}
	}
	hw.endless = true
	if c.HandleInterrupt() {
		t.Error("pressed by an endless stream of another key")
	}
}

// nothing is a machine without a controller: ports read as ones.
type nothing struct{}

func (nothing) In(uint16) uint8   { return 0xff }
func (nothing) Out(uint16, uint8) {}

func TestNoController(t *testing.T) {
	for _, p := range []i8042.Ports{nothing{}, &controller{mute: true}} {
		if _, err := i8042.New(p); !errors.Is(err, i8042.ErrNone) {
			t.Errorf("New(%T) = %v; want %v", p, err, i8042.ErrNone)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x1d\x38\xe0\x53"), true)
	f.Add([]byte("\x14\x11\xe0\x71"), false)
	f.Fuzz(func(t *testing.T, b []byte, translated bool) {
		k := i8042.Keys{Translated: translated}
		for _, c := range b {
			k.Take(c)
		}
	})
}
