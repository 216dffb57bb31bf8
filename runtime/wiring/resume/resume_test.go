package resume

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const (
	testdata   = "../../../boot/acpi/testdata/"
	generation = 0x3fff028 // in q35-vmgenid.acpi
)

// hardware is QEMU's q35: the PM1 control register, and the registers of event 5.
type hardware struct {
	mu             sync.Mutex
	acpi           bool
	stuck          bool // ACPI mode stays off
	status, enable uint32
}

func (h *hardware) In(port uint16, bits int) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case port == 0x604 && h.acpi:
		return 1
	case port == 0x604:
		return 0
	case port == 0x628:
		return h.enable
	}
	return ^uint32(0)
}

func (h *hardware) Out(port uint16, bits int, v uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch port {
	case 0xb2:
		h.acpi = !h.stuck
	case 0x620:
		h.status &^= v
	case 0x628:
		h.enable = v
	}
}

// A machine that goes on has new keys first, and then its own functions called in their
// order, each time; the event of VMGenID is enabled, and cleared when it has come.
func TestResume(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := &hardware{enable: 0x02, status: 0xff}
		m.AddTables(testdata + "q35-vmgenid.acpi")
		m.Tables[generation] = make([]byte, 16)
		m.Ports = h
		m.Start()
		start()
		if want := []uint64{generation, generation + 8}; !slices.Equal(m.Watched(), want) {
			t.Errorf("watches %#x; want %#x", m.Watched(), want)
		}
		if off := m.PowerOff(); off.Port != 0x604 {
			t.Errorf("what switches off is %+v; want port 0x604", off)
		}
		if h.enable != 0x22 || h.status != 0xdf || !h.acpi {
			t.Errorf("event enable %#x, status %#x, ACPI mode %v; want 0x22, 0xdf, true", h.enable, h.status, h.acpi)
		}
		var calls []int
		for i := range 3 {
			OnResume(func() { calls = append(calls, 10*m.Reseeded()+5+i) })
			wiring.OnResume(func() { calls = append(calls, 10*m.Reseeded()+i) })
		}
		for range 2 {
			h.mu.Lock()
			h.status |= 0x20
			h.mu.Unlock()
			m.Resume()
			m.RaiseGSI(9)
			synctest.Wait()
		}
		if want := []int{10, 11, 12, 15, 16, 17, 20, 21, 22, 25, 26, 27}; !slices.Equal(calls, want) {
			t.Errorf("calls %v; want %v", calls, want)
		}
		if h.status != 0xdf {
			t.Errorf("event status %#x after the interrupt; want 0xdf", h.status)
		}
		m.WantQuiet()
	})
}

// A function of the program that does not return keeps nobody else.
func TestProgramBlocks(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Start()
		start()
		calls, release := 0, make(chan bool)
		OnResume(func() { calls++; <-release })
		for range 3 {
			m.Resume()
			synctest.Wait()
		}
		if calls != 1 || m.Reseeded() != 3 {
			t.Errorf("called %d times, new keys %d times; want 1, 3", calls, m.Reseeded())
		}
		close(release)
		synctest.Wait()
		if calls != 2 { // those that came meanwhile are one
			t.Errorf("called %d times; want 2", calls)
		}
	})
}

// Whatever the tables say: the machine starts, and says what it cannot do.
func TestHostileGeneration(t *testing.T) {
	for _, tt := range []struct {
		name    string
		memory  int // bytes that are there
		stuck   bool
		watched int
		log     string
	}{
		{"no memory", 0, false, 0, "VMGenID is where no memory is"},
		{"half of it", 8, false, 0, "VMGenID is where no memory is"},
		{"no ACPI mode", 16, true, 2, "a resume does not interrupt"},
	} {
		wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
			m.AddTables(testdata + "q35-vmgenid.acpi")
			if tt.memory > 0 {
				m.Tables[generation] = make([]byte, tt.memory)
			}
			m.Ports = &hardware{stuck: tt.stuck}
			m.Start()
			start()
			if out := m.Output(); !strings.Contains(out, tt.log) || len(m.Watched()) != tt.watched {
				t.Errorf("%s: the console says %q, %d words are watched; want %q, %d", tt.name, out, len(m.Watched()), tt.log, tt.watched)
			}
		})
	}
}

// Without ACPI there is nothing to watch, and a resume is served all the same.
func TestWithoutTables(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Start()
		start()
		called := false
		wiring.OnResume(func() { called = true })
		m.Resume()
		synctest.Wait()
		if !called || m.Reseeded() != 1 || len(m.Watched()) != 0 {
			t.Errorf("called %v, new keys %d times, %d words watched; want true, 1, 0", called, m.Reseeded(), len(m.Watched()))
		}
		m.WantQuiet()
	})
}

// A machine without a vector left has no resume to serve, and starts.
func TestWithoutVector(t *testing.T) {
	m := wiringtest.New(t)
	m.Vectors = -1
	m.Start()
	start()
	m.WantQuiet()
}

// The page of VMClock, as a VMM fills it.
func TestClockWords(t *testing.T) {
	const at = 0xde000
	for _, tt := range []struct {
		name  string
		spoil func(p []byte)
		size  uint64
		want  []uint64
	}{
		{"with a generation counter", func(p []byte) {}, 0x1000, []uint64{at + 0x10, at + 0x68}},
		{"without one", func(p []byte) { p[0x19] = 0 }, 0x1000, []uint64{at + 0x10}},
		{"another magic", func(p []byte) { p[0] = 'X' }, 0x1000, nil},
		{"another version", func(p []byte) { p[8] = 2 }, 0x1000, nil},
		{"too small", func(p []byte) {}, 0x6f, nil},
		{"larger than its memory", func(p []byte) {}, 1 << 40, []uint64{at + 0x10, at + 0x68}},
	} {
		m := wiringtest.New(t)
		p := make([]byte, 0x1000)
		copy(p, "VCLK")
		binary.LittleEndian.PutUint16(p[8:], 1)
		binary.LittleEndian.PutUint64(p[0x18:], 1<<8)
		tt.spoil(p)
		m.Tables[at] = p
		m.Start()
		if got := clockWords(&acpi.Region{Address: at, Size: tt.size}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %#x; want %#x", tt.name, got, tt.want)
		}
	}
	m := wiringtest.New(t)
	m.Start()
	if got := clockWords(&acpi.Region{Address: at, Size: 0x1000}); got != nil {
		t.Errorf("without memory: %#x; want nothing", got)
	}
}
