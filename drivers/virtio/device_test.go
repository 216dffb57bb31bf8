package virtio_test

import (
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// virtio 1.2 §3.1.1: driver initialisation.
func TestNegotiate(t *testing.T) {
	const a, b, c = 1, 2, 4
	all := virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureAccessPlatform
	tests := []struct {
		name                      string
		offered, wanted, required uint64
		spoil                     func(*virtiotest.Device)
		want                      uint64
		err                       error
	}{
		{name: "intersection", offered: all | a | b, wanted: a | c, want: all | a},
		{name: "required missing", offered: all | a, required: b, err: virtio.ErrFeatures},
		{name: "not modern", offered: a, wanted: a, err: virtio.ErrFeatures},
		{name: "unknown features stay off", offered: all | 1<<40 | 1<<38 | 1<<34, want: all},
		{name: "legacy", offered: a | virtio.FeatureAnyLayout, wanted: a, want: a | virtio.FeatureAnyLayout,
			spoil: func(d *virtiotest.Device) { d.Old = true }},
		{name: "refused", offered: all, err: virtio.ErrFeaturesOK,
			spoil: func(d *virtiotest.Device) { d.RefuseDriver = true }},
		{name: "stuck reset", offered: all, err: virtio.ErrReset, spoil: func(d *virtiotest.Device) {
			d.StuckReset = true
			d.SetStatus(virtio.StatusDriverOK)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := virtiotest.NewDevice(virtio.TypeNet, nil, tt.offered, nil)
			if tt.spoil != nil {
				tt.spoil(dev)
			}
			got, err := virtio.Negotiate(dev, tt.wanted, tt.required, nil)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Negotiate = %#x, %v; want %#x, %v", got, err, tt.want, tt.err)
			}
			if err == nil && dev.Accepted() != got {
				t.Errorf("device was told %#x; want %#x", dev.Accepted(), got)
			}
			if err != nil && dev.Alive() && !dev.StuckReset {
				t.Error("device lives on after a failed negotiation")
			}
		})
	}
}

func TestReady(t *testing.T) {
	dev := virtiotest.NewDevice(virtio.TypeNet, nil, virtio.FeatureVersion1, nil)
	if err := virtio.Ready(dev); err != nil || !dev.Alive() {
		t.Errorf("Ready = %v, device alive %v; want nil, true", err, dev.Alive())
	}
	dev.NeedReset()
	if err := virtio.CheckStatus(dev); !errors.Is(err, virtio.ErrNeedsReset) {
		t.Errorf("CheckStatus of a broken device = %v; want %v", err, virtio.ErrNeedsReset)
	}
}

func TestReadConfigUnstable(t *testing.T) {
	dev := virtiotest.NewDevice(virtio.TypeNet, nil, 0, nil)
	dev.RestlessSpace = true
	if err := virtio.ReadConfig(dev, func(virtio.Registers) {}); !errors.Is(err, virtio.ErrConfigUnstable) {
		t.Errorf("ReadConfig = %v; want %v", err, virtio.ErrConfigUnstable)
	}
}

// A change in the middle of a read is noticed.
func TestReadConfigTorn(t *testing.T) {
	dev := virtiotest.NewDevice(virtio.TypeNet, nil, 0, []byte{1, 1})
	var got [2]byte
	err := virtio.ReadConfig(dev, func(r virtio.Registers) {
		got[0] = r.Read8(0)
		if got[0] == 1 {
			dev.SetConfig(0, 2, 2)
		}
		got[1] = r.Read8(1)
	})
	if err != nil || got != [2]byte{2, 2} {
		t.Errorf("ReadConfig read %v, %v; want [2 2], nil", got, err)
	}
}

// Serve looks at the device before it waits for the first time.
func TestServe(t *testing.T) {
	line := virtiotest.NewLine()
	line.Close()
	handled := 0
	err := virtio.Serve(line.Wait, func() error { handled++; return nil })
	if handled != 1 || !errors.Is(err, virtio.ErrClosed) {
		t.Errorf("Serve handled %d times, error %v; want 1, %v", handled, err, virtio.ErrClosed)
	}
}

func TestWindowBounds(t *testing.T) {
	dev := virtiotest.NewDevice(virtio.TypeNet, nil, 0, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	w := virtio.Window{Registers: dev.Config(), Offset: 2, Size: 4}
	got := []uint32{uint32(w.Read8(0)), uint32(w.Read8(3)), uint32(w.Read8(4)), uint32(w.Read16(2)),
		uint32(w.Read16(3)), w.Read32(0), w.Read32(1), w.Read32(^uintptr(0))}
	want := []uint32{3, 6, 0, 0x0605, 0, 0x06050403, 0, 0}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("read %d = %#x; want %#x", i, got[i], want[i])
		}
	}
}
