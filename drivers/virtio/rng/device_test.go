package rng_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/rng"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// start returns a driver whose device answers each request through serve.
func start(t testing.TB, features uint64, serve func(q *virtiotest.Queue, c *virtiotest.Chain)) (*rng.Device, *virtiotest.Device) {
	t.Helper()
	mem := virtiotest.NewMemory(8)
	dev := virtiotest.NewDevice(virtio.TypeEntropy, mem, features, nil, 64)
	dev.Old = features&virtio.FeatureVersion1 == 0
	line := dev.Answer(t, func(_ int, q *virtiotest.Queue, c *virtiotest.Chain) { serve(q, c) })
	d, err := rng.New(dev, mem)
	if err != nil {
		t.Fatal(err)
	}
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(d.Close)
	return d, dev
}

const modern = virtio.FeatureVersion1 | virtio.FeatureEventIdx

func TestRead(t *testing.T) {
	for name, features := range map[string]uint64{"legacy": 0, "modern": modern} {
		t.Run(name, func(t *testing.T) {
			next := byte(0)
			d, _ := start(t, features, func(q *virtiotest.Queue, c *virtiotest.Chain) {
				n := min(100, len(c.Write[0])) // fewer than asked for is allowed
				for i := range n {
					next++
					c.Write[0][i] = next
				}
				q.Push(c.Head, uint32(n))
				q.Flush()
			})
			got := make([]byte, 1000)
			n, err := d.Read(got)
			want := make([]byte, 1000)
			for i := range want {
				want[i] = byte(i + 1)
			}
			if n != 1000 || err != nil || !bytes.Equal(got, want) {
				t.Errorf("Read = %d, %v, right bytes %v; want 1000, nil, true", n, err, bytes.Equal(got, want))
			}
		})
	}
}

func TestHostileDevice(t *testing.T) {
	tests := []struct {
		name  string
		serve func(q *virtiotest.Queue, c *virtiotest.Chain)
		want  error
	}{
		{"no bytes", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head, 0) }, rng.ErrNoBytes},
		{"too many", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head, 33) }, virtio.ErrUsedLength},
		{"unknown id", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(1, 32) }, virtio.ErrUsedID},
		{"index", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.SetUsedIndex(8); q.Push(0, 0) }, virtio.ErrUsedIndex},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Without EVENT_IDX, so that the device interrupts in any case.
			d, dev := start(t, virtio.FeatureVersion1, func(q *virtiotest.Queue, c *virtiotest.Chain) {
				tt.serve(q, c)
				q.Flush()
			})
			if _, err := d.Read(make([]byte, 32)); !errors.Is(err, tt.want) {
				t.Errorf("Read = %v; want %v", err, tt.want)
			}
			if dev.Alive() {
				t.Error("device was not reset")
			}
		})
	}
}

func TestNeedsReset(t *testing.T) {
	d, dev := start(t, modern, func(q *virtiotest.Queue, c *virtiotest.Chain) {})
	go dev.NeedReset()
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, virtio.ErrNeedsReset) {
		t.Errorf("Read = %v; want %v", err, virtio.ErrNeedsReset)
	}
}

func TestNewRefuses(t *testing.T) {
	mem := virtiotest.NewMemory(8)
	for _, tt := range []struct {
		dev  *virtiotest.Device
		want error
	}{
		{virtiotest.NewDevice(virtio.TypeNet, mem, modern, nil, 64), rng.ErrNotEntropy},
		{virtiotest.NewDevice(virtio.TypeEntropy, mem, 0, nil, 64), virtio.ErrFeatures},
		{virtiotest.NewDevice(virtio.TypeEntropy, mem, modern, nil), virtio.ErrNoQueue},
	} {
		if _, err := rng.New(tt.dev, mem); !errors.Is(err, tt.want) {
			t.Errorf("New = %v; want %v", err, tt.want)
		}
	}
}
