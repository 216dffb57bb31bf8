package devices

import (
	"bytes"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// source is a virtio-rng device that answers each request with one byte, again and
// again; with no bytes at all if it is 0.
func source(t *testing.T, m *wiringtest.Machine, b byte) *virtiotest.Device {
	d := virtiotest.NewDevice(virtio.TypeEntropy, m.DeviceMemory(), virtio.FeatureVersion1, nil, 8)
	d.Answer(t, func(_ int, q *virtiotest.Queue, c *virtiotest.Chain) {
		n := 0
		if b != 0 {
			n = c.Fill(bytes.Repeat([]byte{b}, 64))
		}
		q.Push(c.Head, uint32(n))
		q.Flush()
	})
	return d
}

const noSource = "yolk: no RDRAND and no virtio-rng: random numbers rest on timing jitter alone; give the VM a virtio-rng device\n"

func TestEntropy(t *testing.T) {
	refuses := func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
		d := source(t, m, 1)
		d.RefuseDriver = true
		return d
	}
	good := func(b byte) func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
		return func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device { return source(t, m, b) }
	}
	type make = func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device
	for _, tt := range []struct {
		name   string
		rdrand bool
		rng    []make
		want   byte // what was mixed in
		log    string
	}{
		{"RDRAND", true, []make{good('x')}, 0, ""},
		{"a device", false, []make{good('a'), good('b')}, 'a', ""},
		{"neither", false, nil, 0, noSource},
		{"the first fails", false, []make{refuses, good('b')}, 'b', "yolk: virtio-rng at mmio 0xfeb00000: virtio: device refused the negotiated features\n"},
		{"without bytes", false, []make{good(0)}, 0, "yolk: virtio-rng at mmio 0xfeb00000: virtio-rng: device returned no random bytes\n" + noSource},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.NoRDRAND = !tt.rdrand
				for _, f := range tt.rng {
					m.Add(f(t, m))
				}
				m.Start()
				seed()
				var want []byte
				if tt.want != 0 {
					want = bytes.Repeat([]byte{tt.want}, 64)
				}
				if got, log := m.Entropy(), m.Output(); !bytes.Equal(got, want) || log != tt.log {
					t.Errorf("%q was mixed in, the console says %q; want %q, %q", got, log, want, tt.log)
				}
			})
		})
	}
}

// A device without an interrupt cannot be used.
func TestEntropyWithoutInterrupt(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.NoRDRAND, m.Vectors = true, 1 // the console's
		m.Add(source(t, m, 'x'))
		m.Start()
		seed()
		m.WantOutput("virtio-rng at mmio 0xfeb00000: "+string(errNoInterrupt), noSource)
	})
}
