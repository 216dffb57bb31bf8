package power

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const testdata = "../../../boot/acpi/testdata/"

// hardware is the PM1 registers where QEMU's q35 has them, and a keyboard controller.
type hardware struct {
	mu      sync.Mutex
	status  uint32
	enable  uint32
	acpi    bool  // SCI_EN
	stuck   bool  // and it stays off
	smi     uint8 // what was written to the SMI command port
	keys    []uint8
	command uint8
	mode    uint8 // command byte; no controller if 0
}

const (
	portStatus, portEnable, portControl = 0x600, 0x602, 0x604
	portSMI                             = 0xb2
)

func (h *hardware) In(port uint16, bits int) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case port == portStatus && bits == 16:
		return h.status
	case port == portControl && bits == 16 && h.acpi:
		return 1
	case port == portControl && bits == 16:
		return 0
	case port == 0x64 && h.mode != 0 && len(h.keys) > 0:
		return 1
	case port == 0x64 && h.mode != 0:
		return 0
	case port == 0x60 && len(h.keys) > 0:
		b := h.keys[0]
		h.keys = h.keys[1:]
		return uint32(b)
	}
	return ^uint32(0)
}

func (h *hardware) Out(port uint16, bits int, v uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch port {
	case portStatus:
		h.status &^= v
	case portEnable:
		h.enable = v
	case portSMI:
		h.smi = uint8(v)
		h.acpi = !h.stuck
	case 0x64:
		if h.command = uint8(v); v == 0x20 {
			h.keys = append(h.keys, h.mode)
		}
	case 0x60:
		h.mode = uint8(v)
	}
}

// press is a person at the power button.
func (h *hardware) press(m *wiringtest.Machine) {
	h.mu.Lock()
	h.status |= pm1Button
	h.mu.Unlock()
	m.RaiseGSI(9)
}

// wantSignals checks how often the program was asked to end so far.
func wantSignals(t *testing.T, m *wiringtest.Machine, what string, n int) {
	t.Helper()
	synctest.Wait()
	_, got := m.Ends()
	if want := slices.Repeat([]syscall.Signal{syscall.SIGTERM}, n); !slices.Equal(got, want) {
		t.Errorf("%s: signals %v; want SIGTERM %d times", what, got, n)
	}
}

func TestButton(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := &hardware{status: pm1Button} // how the machine was started
		m.AddTables(testdata + "q35.acpi")
		m.Ports = h
		m.Start()
		go start()
		wantSignals(t, m, "the press that started the machine", 0)
		if h.smi != 2 || h.enable != pm1Button || h.status != 0 {
			t.Errorf("SMI command %d, PM1 enable %#x, status %#x; want 2, %#x, 0", h.smi, h.enable, h.status, pm1Button)
		}
		h.press(m)
		wantSignals(t, m, "a press", 1)
		m.RaiseGSI(9)
		wantSignals(t, m, "an interrupt for something else", 1)
		h.press(m)
		wantSignals(t, m, "a second press", 2)
		m.WantQuiet()
	})
}

// The firmware may have left ACPI mode on: then nothing is asked of it.
func TestButtonInACPIMode(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := &hardware{acpi: true}
		m.AddTables(testdata + "pc.acpi")
		m.Ports = h
		m.Start()
		go start()
		synctest.Wait()
		h.press(m)
		wantSignals(t, m, "a press", 1)
		if h.smi != 0 {
			t.Errorf("SMI command %#x was given", h.smi)
		}
	})
}

func TestNoButton(t *testing.T) {
	for _, tt := range []struct {
		name, tables string
		vectors      int
		stuck        bool
		want         string
	}{
		{"ACPI mode does not come", "q35", 0, true, "yolk: the power button cannot be used: ACPI mode or its interrupt is missing\n"},
		{"no vector for the fixed hardware", "q35", 1, false, "yolk: the power button cannot be used: ACPI mode or its interrupt is missing\n"},
		{"no vector for the event device", "microvm", 1, false, "yolk: the power button cannot be used: its interrupt is missing\n"},
		{"no tables", "", 0, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				if tt.tables != "" {
					m.AddTables(testdata + tt.tables + ".acpi")
				}
				m.Ports, m.Vectors = &hardware{stuck: tt.stuck, mode: 0x61}, tt.vectors
				m.Start()
				go start()
				time.Sleep(2 * time.Second) // of the bubble: more than is waited for ACPI mode
				synctest.Wait()
				if got := m.Output(); got != tt.want {
					t.Errorf("the console says %q; want %q", got, tt.want)
				}
			})
		})
	}
}

// event is the register of a generic event device: reading it clears it.
type event struct {
	wiring.HostRegisters // of other widths: nil
	mu                   sync.Mutex
	bits                 uint32
}

func (e *event) Read32(off uintptr) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.bits
	e.bits = 0
	return v
}

func (e *event) raise(m *wiringtest.Machine, bits uint32) {
	e.mu.Lock()
	e.bits |= bits
	e.mu.Unlock()
	m.RaiseGSI(9)
}

func TestEventDevice(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		e := &event{}
		m.AddTables(testdata + "microvm.acpi")
		m.Registers[0xfea00000] = e
		m.Registers[0xfec10000] = wiring.NewHostIOAPIC(24)
		m.Start()
		go start()
		wantSignals(t, m, "the start", 0)
		for _, s := range []struct {
			bits uint32
			want int
		}{{1, 0}, {2, 1}, {0, 1}, {4 | 2 | 1, 2}} {
			e.raise(m, s.bits)
			wantSignals(t, m, "events", s.want)
		}
		m.WantQuiet()
	})
}

// wide is a register that says how it is read.
type wide struct{ wiring.HostRegisters }

func (wide) Read8(off uintptr) uint8   { return 0x81 }
func (wide) Read16(off uintptr) uint16 { return 0x8002 }
func (wide) Read32(off uintptr) uint32 { return 0x80000003 }

func TestEventWidths(t *testing.T) {
	for width, want := range map[int]uint32{8: 0x81, 16: 0x8002, 32: 0x80000003} {
		if got := readEvents(wiring.Registers{HostRegisters: wide{}}, width); got != want {
			t.Errorf("a register of %d bits reads as %#x; want %#x", width, got, want)
		}
	}
}

// Ctrl-Alt-Delete asks the program to end; other keys do not.
func TestKeyboard(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := &hardware{mode: 0x70}
		m.Ports = h
		m.Start()
		go start()
		synctest.Wait()
		if h.mode != 0x61 {
			t.Errorf("command byte %#x; want keyboard and interrupt on: 0x61", h.mode)
		}
		for _, s := range []struct {
			keys string
			want int
		}{{"\x1e\x9e", 0}, {"\x1d\x38", 0}, {"\xe0\x53", 1}, {"\xe0\xd3\xb8\x9d", 1}, {"\x1d\x38\xe0\x53", 2}} {
			h.mu.Lock()
			h.keys = append(h.keys, s.keys...)
			h.mu.Unlock()
			m.RaiseGSI(1)
			wantSignals(t, m, "keys", s.want)
		}
		m.WantQuiet()
	})
}
