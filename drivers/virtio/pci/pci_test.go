package pci_test

import (
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/pci"
	"github.com/yolk-unikernel/yolk/drivers/virtio/rng"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const features = virtio.FeatureVersion1 | virtio.FeatureEventIdx

func newFunction() *virtiotest.PCI {
	return virtiotest.NewPCI(virtiotest.NewDevice(virtio.TypeEntropy, virtiotest.NewMemory(8), features, nil, 64))
}

var messages = []pci.Message{{Address: 0xfee00000, Data: 0x40}, {Address: 0x1_fee01000, Data: 0x41}}

// An entropy device works through the registers in its BARs.
func TestDevice(t *testing.T) {
	for n, want := range map[int]struct {
		config, queue uint16
		cause         virtio.Cause // for an interrupt of the queue
	}{
		0: {0xffff, 0, virtio.CauseQueue},
		1: {0, 0, virtio.CauseQueue},
		2: {0, 1, virtio.CauseQueue},
	} {
		f := newFunction()
		d, err := pci.Open(f, f.Map, messages[:n])
		if err != nil {
			t.Fatal(err)
		}
		if d.DeviceType() != virtio.TypeEntropy || d.Vectors() != n || f.MSIXEnabled() != (n > 0) {
			t.Errorf("%d messages: type %d, vectors %d, MSI-X %v", n, d.DeviceType(), d.Vectors(), f.MSIXEnabled())
		}
		r, err := rng.New(d, f.Device.Memory)
		if err != nil {
			t.Fatal(err)
		}
		if c, q := f.ConfigVector(), f.QueueVector(0); c != want.config || q != want.queue {
			t.Errorf("%d messages: vectors %#x for configuration, %#x for the queue; want %#x, %#x",
				n, c, q, want.config, want.queue)
		}
		f.Device.Notified = func(int) {
			var c virtiotest.Chain
			f.Device.Queues[0].Pop(&c)
			f.Device.Queues[0].Push(c.Head, uint32(c.Fill([]byte("random"))))
			f.Device.Queues[0].Flush()
		}
		got := make([]byte, 6)
		if _, err := r.Read(got); err != nil || string(got) != "random" {
			t.Errorf("%d messages: Read = %q, %v", n, got, err)
		}
		if f.Command() != 6 && n == 0 || f.Command() != 0x406 && n > 0 {
			t.Errorf("%d messages: command register %#x", n, f.Command())
		}
		f.Device.NeedReset()
		if n == 2 {
			err = r.HandleConfigChange()
		} else {
			err = r.HandleInterrupt()
		}
		if !errors.Is(err, virtio.ErrNeedsReset) {
			t.Errorf("%d messages: after a breakdown = %v; want %v", n, err, virtio.ErrNeedsReset)
		}
	}
}

func TestMSIXTable(t *testing.T) {
	f := newFunction()
	if _, err := pci.Open(f, f.Map, messages); err != nil {
		t.Fatal(err)
	}
	want := [2][4]uint32{{0xfee00000, 0, 0x40, 0}, {0xfee01000, 1, 0x41, 0}}
	if got := [2][4]uint32(f.Table[:2]); got != want {
		t.Errorf("MSI-X table %#x; want %#x", got, want)
	}
}

// The configuration generation wraps at 8 bits; a shared message still tells a
// change from a queue's interrupt.
func TestSharedMessage(t *testing.T) {
	f := newFunction()
	d, err := pci.Open(f, f.Map, messages[:1])
	if err != nil {
		t.Fatal(err)
	}
	virtio.Ready(d)
	if c := d.Acknowledge(); c != virtio.CauseQueue {
		t.Errorf("Acknowledge = %v; want the queue", c)
	}
	f.Device.SetConfig(0)
	if c := d.Acknowledge(); c != virtio.CauseQueue|virtio.CauseConfig {
		t.Errorf("Acknowledge after a change = %v; want both", c)
	}
	if c := d.Acknowledge(); c != virtio.CauseQueue {
		t.Errorf("Acknowledge = %v; want the queue", c)
	}
}

func TestType(t *testing.T) {
	for _, tt := range []struct {
		id, subsystem uint32
		want          virtio.DeviceType
		ok            bool
	}{
		{0x10411af4, 0, virtio.TypeNet, true},
		{0x10531af4, 0, virtio.TypeVsock, true},
		{0x10001af4, 0x00011af4, virtio.TypeNet, true},
		{0x10051af4, 0x00041af4, virtio.TypeEntropy, true},
		{0x10421af5, 0, 0, false},
		{0x11101af4, 0, 0, false},
		{0xffffffff, 0xffffffff, 0, false},
	} {
		got, ok := pci.Type(idSpace{tt.id, tt.subsystem})
		if got != tt.want || ok != tt.ok {
			t.Errorf("Type(%#x) = %d, %v; want %d, %v", tt.id, got, ok, tt.want, tt.ok)
		}
	}
}

type idSpace struct{ id, subsystem uint32 }

func (s idSpace) Read32(off int) uint32 {
	if off == 0 {
		return s.id
	}
	return s.subsystem
}
func (s idSpace) Write32(int, uint32) { panic("Type writes") }

func TestHostileCapabilities(t *testing.T) {
	set := func(at int, b ...byte) func(*virtiotest.PCI) {
		return func(p *virtiotest.PCI) { copy(p.Space[at:], b) }
	}
	for _, tt := range []struct {
		name  string
		spoil func(*virtiotest.PCI)
		want  error
	}{
		{"another vendor", set(0, 0x86, 0x80), pci.ErrNotVirtio},
		{"no list", set(6, 0), pci.ErrLegacyOnly},
		{"empty list", set(0x34, 0), pci.ErrLegacyOnly},
		{"list into the header", set(0x34, 0x10), pci.ErrCapabilities},
		{"loop", set(0x41, 0x40), pci.ErrCapabilities},
		{"short capability", set(0x42, 15), pci.ErrCapabilities},
		{"notify without multiplier", set(0x72, 16), pci.ErrCapabilities},
		{"capability beyond the space", func(p *virtiotest.PCI) {
			p.Space[0x41] = 0xf8
			copy(p.Space[0xf8:], []byte{9, 0, 20, 2, 4, 0, 0, 0})
		}, pci.ErrCapabilities},
		{"reserved BAR", set(0x44, 6), pci.ErrLegacyOnly},
		{"BAR that is not there", set(0x44, 2), pci.ErrBAR},
		{"I/O BAR", set(0x20, 1), pci.ErrBAR},
		{"64-bit BAR in the last place", func(p *virtiotest.PCI) {
			p.Space[0x44] = 5
			p.Space[0x24] = 4
		}, pci.ErrBAR},
		{"structure beyond its BAR", set(0x49, 0x40), pci.ErrRegion},
		{"offset that overflows", set(0x48, 0xf0, 0xff, 0xff, 0xff), pci.ErrRegion},
		{"structure too small", set(0x4c, 16, 0), pci.ErrRegion},
		{"unaligned structure", set(0x48, 2), pci.ErrRegion},
		{"MSI-X table in no BAR", set(0x9c, 7), pci.ErrCapabilities},
		{"MSI-X table beyond its BAR", set(0x9d, 0x10), pci.ErrRegion},
	} {
		f := newFunction()
		tt.spoil(f)
		if _, err := pci.Open(f, f.Map, messages); !errors.Is(err, tt.want) {
			t.Errorf("%s: Open = %v; want %v", tt.name, err, tt.want)
		}
	}
}

// A notification address beyond its structure is found at set-up.
func TestHostileNotifyOffset(t *testing.T) {
	f := newFunction()
	f.Device.Queues = append(f.Device.Queues, f.Device.Queues[0])
	copy(f.Space[0x80:], []byte{0, 0, 1, 0})
	d, err := pci.Open(f, f.Map, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetQueue(1, virtio.Rings{Size: 8}); !errors.Is(err, pci.ErrNotify) {
		t.Errorf("SetQueue = %v; want %v", err, pci.ErrNotify)
	}
}

// FuzzConfigSpace opens a function with any configuration space behind its
// identifier.
func FuzzConfigSpace(f *testing.F) {
	p := newFunction()
	f.Add(p.Space[4:])
	p.Space[0x41] = 0x84
	f.Add(p.Space[4:])
	f.Fuzz(func(t *testing.T, space []byte) {
		c := &plainSpace{}
		good := newFunction()
		copy(c.b[:], good.Space[:4])
		copy(c.b[4:], space)
		mapped := func(phys, size uint64) (virtio.Registers, error) {
			if phys+size < phys || size == 0 || size > 1<<20 {
				t.Errorf("Map(%#x, %#x): impossible range", phys, size)
			}
			return zeros{size}, nil
		}
		d, err := pci.Open(c, mapped, messages)
		if err != nil {
			return
		}
		d.QueueMax(0)
		if d.SetQueue(0, virtio.Rings{}) == nil {
			d.Notify(0)
		}
		d.Acknowledge()
		d.Config().Read32(0)
	})
}

// plainSpace is a configuration space of which every bit can be written.
type plainSpace struct{ b [256]byte }

func (s *plainSpace) Read32(off int) uint32 {
	b := s.b[off : off+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (s *plainSpace) Write32(off int, v uint32) {
	b := s.b[off : off+4]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	if off >= 0x10 && off < 0x28 {
		b[0] &= 0 // a BAR of 4 KiB
		b[1] &= 0xf0
	}
}

// zeros are registers that read as zero and check bounds.
type zeros struct{ size uint64 }

func (z zeros) check(off, n uintptr) {
	if uint64(off+n) > z.size {
		panic("access outside the mapping")
	}
}
func (z zeros) Read8(off uintptr) uint8       { z.check(off, 1); return 0 }
func (z zeros) Read16(off uintptr) uint16     { z.check(off, 2); return 0 }
func (z zeros) Read32(off uintptr) uint32     { z.check(off, 4); return 0 }
func (z zeros) Write8(off uintptr, v uint8)   { z.check(off, 1) }
func (z zeros) Write16(off uintptr, v uint16) { z.check(off, 2) }
func (z zeros) Write32(off uintptr, v uint32) { z.check(off, 4) }
