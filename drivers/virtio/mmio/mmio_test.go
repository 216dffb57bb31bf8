package mmio_test

import (
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/mmio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const (
	modern = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc | virtionet.FeatureMAC
	legacy = virtio.FeatureEventIdx | virtio.FeatureAnyLayout | virtionet.FeatureMAC | 1<<33
)

func newRegisters(features uint64, old bool) *virtiotest.MMIO {
	dev := virtiotest.NewDevice(virtio.TypeNet, virtiotest.NewMemory(512), features,
		[]byte{2, 0, 0, 0, 0, 1}, 256, 256)
	dev.Old = old
	return &virtiotest.MMIO{Device: dev}
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name string
		off  uintptr
		v    uint32
		want error
	}{
		{"nothing there", 0, 0xffffffff, mmio.ErrNotVirtio},
		{"version 0", 4, 0, mmio.ErrVersion},
		{"version 3", 4, 3, mmio.ErrVersion},
		{"empty slot", 8, 0, mmio.ErrEmpty},
		{"device", 8, 1, nil},
	} {
		regs := newRegisters(modern, false)
		regs.Overrides = map[uintptr]uint32{tt.off: tt.v}
		if _, err := mmio.Probe(regs); !errors.Is(err, tt.want) {
			t.Errorf("%s: Probe = %v; want %v", tt.name, err, tt.want)
		}
	}
}

// A network device works through the registers of both versions.
func TestDevice(t *testing.T) {
	for name, regs := range map[string]*virtiotest.MMIO{
		"modern": newRegisters(modern, false),
		"legacy": newRegisters(legacy, true),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := mmio.Probe(regs)
			if err != nil {
				t.Fatal(err)
			}
			if d.DeviceType() != virtio.TypeNet || d.Legacy() != (name == "legacy") {
				t.Errorf("type %d, legacy %v", d.DeviceType(), d.Legacy())
			}
			h := &handler{mem: regs.Device.Memory}
			n, err := virtionet.New(d, h.mem, h, virtionet.Options{RxBuffers: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if got := n.Info().MAC; got != [6]byte{2, 0, 0, 0, 0, 1} {
				t.Errorf("MAC = %x", got)
			}
			roundTrip(t, regs.Device, n, h)
		})
	}
}

func roundTrip(t *testing.T, dev *virtiotest.Device, n *virtionet.Device, h *handler) {
	notified := -1
	dev.Notified = func(q int) { notified = q }
	n.Send(virtionet.Header{}, [][]byte{[]byte(h.mem.Buffer(0, 60))}, nil)
	n.Kick()
	var c virtiotest.Chain
	if !dev.Queues[1].Pop(&c) || notified != 1 {
		t.Fatalf("device did not get the packet, or queue %d was notified", notified)
	}
	dev.Queues[1].Push(c.Head, 0)
	dev.Queues[1].Flush()
	dev.Queues[0].Pop(&c)
	dev.Queues[0].Push(c.Head, uint32(c.Fill([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00hello"))))
	if !dev.Queues[0].Flush() {
		t.Error("no interrupt")
	}
	if err := n.HandleInterrupt(); err != nil || h.got != 1 || h.sent != 1 {
		t.Errorf("HandleInterrupt = %v, received %d, sent %d; want nil, 1, 1", err, h.got, h.sent)
	}
	if dev.Acknowledge() != 0 {
		t.Error("interrupt was not acknowledged")
	}
}

// A queue that is still enabled after the reset is somebody else's.
func TestQueueBusy(t *testing.T) {
	for off, regs := range map[uintptr]*virtiotest.MMIO{
		0x44: newRegisters(modern, false),
		0x40: newRegisters(legacy, true),
	} {
		regs.Overrides = map[uintptr]uint32{off: 1}
		d, _ := mmio.Probe(regs)
		h := &handler{mem: regs.Device.Memory}
		if _, err := virtionet.New(d, h.mem, h, virtionet.Options{}); !errors.Is(err, mmio.ErrQueueBusy) {
			t.Errorf("New = %v; want %v", err, mmio.ErrQueueBusy)
		}
	}
}

// A legacy device addresses queues by 32-bit page numbers.
func TestLegacyAddressLimit(t *testing.T) {
	d, _ := mmio.Probe(newRegisters(legacy, true))
	if err := d.SetQueue(0, virtio.Rings{Size: 8, Desc: 1 << 44}); !errors.Is(err, mmio.ErrAddress) {
		t.Errorf("SetQueue at 16 TiB = %v; want %v", err, mmio.ErrAddress)
	}
}

// FuzzRegisters lets any register read as anything.
func FuzzRegisters(f *testing.F) {
	f.Add(false, uint16(0x34), uint32(0x80000000))
	f.Add(true, uint16(0x70), uint32(0xff))
	f.Fuzz(func(t *testing.T, old bool, off uint16, v uint32) {
		regs := newRegisters(modern, old)
		regs.Overrides = map[uintptr]uint32{uintptr(off) &^ 3: v}
		d, err := mmio.Probe(regs)
		if err != nil {
			return
		}
		h := &handler{mem: regs.Device.Memory}
		if n, err := virtionet.New(d, h.mem, h, virtionet.Options{RxBuffers: 8}); err == nil {
			n.HandleInterrupt()
			n.Close()
		}
	})
}

type handler struct {
	mem       *virtiotest.Memory
	got, sent int
}

func (h *handler) Buffer() ([]byte, any)        { return h.mem.Buffer(0, 2048), nil }
func (h *handler) Free(any)                     {}
func (h *handler) Receive(p []virtionet.Packet) { h.got += len(p) }
func (h *handler) Sent(any)                     { h.sent++ }
func (h *handler) Writable()                    {}
func (h *handler) LinkChanged(bool)             {}
func (h *handler) Failed(error)                 {}

// What somebody else has taken back of an interrupt is told, once.
func TestTakenInterrupt(t *testing.T) {
	d, err := mmio.Probe(newRegisters(modern, false))
	if err != nil {
		t.Fatal(err)
	}
	bell := d.Doorbell(0)
	for _, c := range []struct{ taken, want virtio.Cause }{
		{virtio.CauseConfig, virtio.CauseConfig | virtio.CauseQueue},
		{0, virtio.CauseQueue},
	} {
		bell.Taken.Or(uint32(c.taken))
		if got := d.Acknowledge(); got != c.want {
			t.Errorf("taken %d: Acknowledge = %d; want %d", c.taken, got, c.want)
		}
	}
}
