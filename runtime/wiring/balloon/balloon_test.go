package balloon

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const (
	mib       = 1 << 20
	reporting = 1 << 5
)

// host is the device, with what the host has got.
type host struct {
	*virtiotest.Device
	pages    map[uint32]bool // in the balloon
	reported int             // bytes in reports
}

// newHost returns a balloon with queues to inflate, to deflate and for reports.
func newHost(t *testing.T, m *wiringtest.Machine, features uint64) *host {
	h := &host{pages: map[uint32]bool{}}
	h.Device = virtiotest.NewDevice(virtio.TypeBalloon, m.DeviceMemory(), virtio.FeatureVersion1|features, make([]byte, 8), 16, 16, 64)
	h.Answer(t, func(i int, q *virtiotest.Queue, c *virtiotest.Chain) {
		for pfns := c.Data(nil); len(pfns) > 0; pfns = pfns[4:] {
			if pfn := binary.LittleEndian.Uint32(pfns); i == 0 {
				h.pages[pfn] = true
			} else {
				delete(h.pages, pfn)
			}
		}
		for _, w := range c.Write {
			h.reported += len(w)
		}
		q.Push(c.Head, 0)
		q.Flush()
	})
	return h
}

// got returns how many bytes are in the balloon, and how many were reported.
func (h *host) got() (balloon, reported int) {
	h.Do(func() { balloon, reported = len(h.pages)*virtio.PageSize, h.reported })
	return balloon, reported
}

// want is the host's wish, in bytes.
func (h *host) want(bytes int) {
	h.SetConfig(0, binary.LittleEndian.AppendUint32(nil, uint32(bytes/virtio.PageSize))...)
	synctest.Wait()
}

// fail breaks the device, so that its goroutines end, and checks that it is told of.
func (h *host) fail(m *wiringtest.Machine) {
	h.NeedReset()
	synctest.Wait()
	m.WantOutput("yolk: virtio-balloon at mmio 0xfeb00000: " + virtio.ErrNeedsReset.Error() + "\n")
}

func (h *host) check(t *testing.T, m *wiringtest.Machine, what string, bytes int, limit int64) {
	t.Helper()
	if got, _ := h.got(); got != bytes || m.Taken() != uint64(bytes) || m.HeapLimit() != limit {
		t.Errorf("%s: the host has %d bytes, the machine is without %d, the collector's limit is %d; want %d, %[5]d, %d",
			what, got, m.Taken(), m.HeapLimit(), bytes, limit)
	}
	if got := int(h.Config().Read32(4)) * virtio.PageSize; got != bytes {
		t.Errorf("%s: the device is told of %d bytes; want %d", what, got, bytes)
	}
}

// The host gets the memory that it wants, but for a reserve, and gives it back; the
// collector's limit follows.
func TestBalloon(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newHost(t, m, 0)
		m.Add(h.Device)
		m.Start() // with 64 MiB, of which an eighth is not the collector's
		go start()
		synctest.Wait()
		h.check(t, m, "at the start", 0, 56*mib)
		h.want(20 * mib)
		h.check(t, m, "20 MiB", 20*mib, 36*mib)
		h.want(5 * mib)
		h.check(t, m, "5 MiB", 5*mib, 51*mib)
		h.want(100 * mib)
		h.check(t, m, "more than there is", 60*mib, 2*mib)
		h.want(0)
		h.check(t, m, "nothing", 0, 56*mib)
		m.WantQuiet()
		h.fail(m)
	})
}

// Memory that was freed a second ago is shown to the host, once.
func TestReports(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newHost(t, m, reporting)
		m.Add(h.Device)
		m.Start()
		go start()
		synctest.Wait()
		m.Use(3 * mib)
		time.Sleep(time.Minute)
		if _, n := h.got(); n != 0 {
			t.Errorf("%d bytes were reported for 3 MiB; want it to wait for more", n)
		}
		m.Use(7 * mib)
		time.Sleep(time.Second - 1)
		if _, n := h.got(); n != 0 {
			t.Errorf("%d bytes were reported before the delay", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, n := h.got(); n != 10*mib || m.Used() != 0 || m.Taken() != 0 {
			t.Errorf("%d bytes were reported, %d are left, %d are out of use; want 10 MiB, 0, 0", n, m.Used(), m.Taken())
		}
		m.WantQuiet()
		h.fail(m)
	})
}

func TestReserve(t *testing.T) {
	for ram, want := range map[uint64]uint64{8 * mib: mib, 64 * mib: 4 * mib, 1024 * mib: 8 * mib} {
		m := wiringtest.New(t)
		m.RAM = ram
		m.Start()
		if got := reserve(); got != want {
			t.Errorf("reserve of %d MiB = %d; want %d", ram/mib, got, want)
		}
	}
}

// A balloon that cannot be used is told of; without one there is silence. Of two, the
// first counts.
func TestNoBalloon(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  func(t *testing.T, m *wiringtest.Machine)
		want string
	}{
		{"none", func(*testing.T, *wiringtest.Machine) {}, ""},
		{"refuses", func(t *testing.T, m *wiringtest.Machine) {
			h := newHost(t, m, 0)
			h.RefuseDriver = true
			m.Add(h.Device)
			m.Add(newHost(t, m, 0).Device)
		}, "yolk: virtio-balloon at mmio 0xfeb00000: virtio: device refused the negotiated features\n"},
		{"no vector", func(t *testing.T, m *wiringtest.Machine) {
			m.Add(newHost(t, m, 0).Device)
			m.Vectors = 1 // the console's
		}, "yolk: virtio-balloon at mmio 0xfeb00000: no interrupt vector left\n"},
		{"one vector", func(t *testing.T, m *wiringtest.Machine) {
			m.Add(newHost(t, m, 0).Device)
			m.Vectors = 2
		}, "yolk: virtio-balloon at mmio 0xfeb00000: the device has no interrupt that can be used (an I/O APIC line of its own, or MSI-X)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				tt.add(t, m)
				m.Start()
				start() // returns
				if got := m.Output(); got != tt.want {
					t.Errorf("the console says %q; want %q", got, tt.want)
				}
			})
		})
	}
}
