package virtio_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// newLife returns a device at work and the list of what its driver is told.
func newLife(t *testing.T) (*virtio.Lifecycle, *virtiotest.Device, *[]string) {
	t.Helper()
	dev := virtiotest.NewDevice(virtio.TypeEntropy, nil, virtio.FeatureVersion1, []byte{1})
	told := &[]string{}
	tell := func(s string) { *told = append(*told, s) }
	l := &virtio.Lifecycle{
		Transport: dev,
		OnQueues:  func() { tell("queues") },
		OnConfig:  func() { tell("config") },
		OnEnd: func(err error) {
			if dev.Status() != 0 {
				t.Error("OnEnd was called before the reset")
			}
			tell(err.Error())
		},
	}
	if err := l.Start(func() error { return virtio.Ready(dev) }); err != nil {
		t.Fatal(err)
	}
	return l, dev, told
}

func TestLifecycleInterrupts(t *testing.T) {
	l, dev, told := newLife(t)
	if err := l.HandleInterrupt(); err != nil {
		t.Errorf("HandleInterrupt = %v; want nil", err)
	}
	dev.SetConfig(0, 2)
	if err := l.HandleInterrupt(); err != nil {
		t.Errorf("HandleInterrupt of a new configuration = %v; want nil", err)
	}
	if err := l.HandleConfigChange(); err != nil {
		t.Errorf("HandleConfigChange = %v; want nil", err)
	}
	if want := []string{"queues", "config", "queues", "config"}; !slices.Equal(*told, want) {
		t.Errorf("the driver was told %q; want %q", *told, want)
	}
}

// The first error stays, the driver is told once, and nothing afterwards.
func TestLifecycleEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*virtio.Lifecycle, *virtiotest.Device)
		want error
	}{
		"close":            {func(l *virtio.Lifecycle, _ *virtiotest.Device) { l.Close() }, virtio.ErrClosed},
		"status":           {func(l *virtio.Lifecycle, d *virtiotest.Device) { d.NeedReset(); l.HandleInterrupt() }, virtio.ErrNeedsReset},
		"status (message)": {func(l *virtio.Lifecycle, d *virtiotest.Device) { d.NeedReset(); l.HandleConfigChange() }, virtio.ErrNeedsReset},
		"driver":           {func(l *virtio.Lifecycle, _ *virtiotest.Device) { l.Lock(); l.End(virtio.ErrUsedID); l.Unlock() }, virtio.ErrUsedID},
	} {
		t.Run(name, func(t *testing.T) {
			l, dev, told := newLife(t)
			tt.end(l, dev)
			l.Close()
			dev.SetConfig(0, 2)
			if err := l.HandleInterrupt(); !errors.Is(err, tt.want) {
				t.Errorf("HandleInterrupt = %v; want %v", err, tt.want)
			}
			if err := l.HandleConfigChange(); !errors.Is(err, tt.want) {
				t.Errorf("HandleConfigChange = %v; want %v", err, tt.want)
			}
			if want := []string{tt.want.Error()}; !slices.Equal(*told, want) {
				t.Errorf("the driver was told %q; want %q", *told, want)
			}
			if dev.Alive() {
				t.Error("device was not reset")
			}
		})
	}
}

func TestLifecycleStartFails(t *testing.T) {
	dev := virtiotest.NewDevice(virtio.TypeEntropy, nil, virtio.FeatureVersion1, nil)
	l := virtio.Lifecycle{Transport: dev}
	err := l.Start(func() error { virtio.Ready(dev); return virtio.ErrNoQueue })
	if !errors.Is(err, virtio.ErrNoQueue) || dev.Status() != 0 {
		t.Errorf("Start = %v, status %#x; want %v, 0", err, dev.Status(), virtio.ErrNoQueue)
	}
}

// EndSoon can be called by the holder of the lock, too.
func TestLifecycleEndSoon(t *testing.T) {
	l, dev, told := newLife(t)
	ended := make(chan bool)
	tell := l.OnEnd
	l.OnEnd = func(err error) { tell(err); close(ended) }
	l.Lock()
	l.EndSoon(virtio.ErrUsedID)
	l.EndSoon(virtio.ErrUsedLength)
	if err := l.Err(); !errors.Is(err, virtio.ErrUsedID) || !dev.Alive() {
		t.Errorf("Err = %v, device alive %v; want %v, true", err, dev.Alive(), virtio.ErrUsedID)
	}
	l.Unlock()
	<-ended
	if want := []string{virtio.ErrUsedID.Error()}; !slices.Equal(*told, want) || dev.Alive() {
		t.Errorf("the driver was told %q, device alive %v; want %q, false", *told, dev.Alive(), want)
	}
}
