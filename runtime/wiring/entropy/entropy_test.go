package entropy

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
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

const sysGetrandom = 318

// getrandom calls getrandom(2) for 16 bytes.
func getrandom(m *wiringtest.Machine, flags int) syscall.Errno {
	_, e := m.Call(sysGetrandom, make([]byte, 16), 16, flags)
	return e
}

const nonblock, insecure = 1, 4 // GRND_*

// await asks until there is an answer. (Waiting in the call is for one bubble alone.)
func await(m *wiringtest.Machine) syscall.Errno {
	for {
		e := getrandom(m, nonblock)
		if e != syscall.EAGAIN {
			return e
		}
		time.Sleep(time.Millisecond)
	}
}

// Whatever sources there are: what is brought to the generator, what the console says, and
// whether getrandom(2) has an answer then.
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
		ready  bool
	}{
		{"both", true, []make{good('x')}, 'x', "", true},
		{"RDRAND", true, nil, 0, "", true},
		{"a device", false, []make{good('a'), good('b')}, 'a', "", true},
		{"neither", false, nil, 0, "", false},
		{"the first fails", false, []make{refuses, good('b')}, 'b', "yolk: virtio-rng at mmio 0xfeb00000: virtio: device refused the negotiated features\n", true},
		{"without bytes", false, []make{good(0)}, 0, "yolk: virtio-rng at mmio 0xfeb00000: virtio-rng: device returned no random bytes\n", false},
		{"RDRAND, and a device without bytes", true, []make{good(0)}, 0, "yolk: virtio-rng at mmio 0xfeb00000: virtio-rng: device returned no random bytes\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.NoRDRAND = !tt.rdrand
				for _, f := range tt.rng {
					m.Add(f(t, m))
				}
				m.Start()
				seed()
				early := ""
				if len(tt.rng) > 0 && tt.rdrand {
					e := getrandom(m, nonblock)
					early = m.Output()
					// The device may have answered meanwhile.
					if answered := len(m.Entropy()) != 0 || early != ""; e != syscall.EAGAIN && (e != 0 || !answered) {
						t.Errorf("getrandom before the device's bytes = %v; want EAGAIN", e)
					}
				}
				synctest.Wait()
				var want []byte
				if tt.want != 0 {
					want = bytes.Repeat([]byte{tt.want}, 64)
				}
				if got, log := m.Entropy(), early+m.Output(); !bytes.Equal(got, want) || log != tt.log {
					t.Errorf("%q was mixed in, the console says %q; want %q, %q", got, log, want, tt.log)
				}
				if e := getrandom(m, insecure); e != 0 {
					t.Errorf("getrandom with GRND_INSECURE = %v; want 0", e)
				}
				for range 2 { // the console says so once
					if e := getrandom(m, nonblock); (e == 0) != tt.ready || e != 0 && e != syscall.EAGAIN {
						t.Errorf("getrandom = %v; want an answer: %v", e, tt.ready)
					}
				}
				if log := m.Output(); strings.Count(log, "no source of random numbers") != map[bool]int{false: 1}[tt.ready] {
					t.Errorf("the console says %q; want the missing source once: %v", log, !tt.ready)
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
		synctest.Wait()
		m.WantOutput("virtio-rng at mmio 0xfeb00000: " + string(devices.ErrNoInterrupt))
	})
}

// A device that does not answer for an hour keeps nobody for long where the CPU has a generator.
// Without one, the program starts, and the console says what is missing; the bytes count when
// they come.
func TestEntropyLate(t *testing.T) {
	for _, rdrand := range []bool{true, false} {
		wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
			m.NoRDRAND = !rdrand
			d := virtiotest.NewDevice(virtio.TypeEntropy, m.DeviceMemory(), virtio.FeatureVersion1, nil, 8)
			d.Answer(t, func(_ int, q *virtiotest.Queue, c *virtiotest.Chain) {
				time.Sleep(time.Hour)
				q.Push(c.Head, uint32(c.Fill(make([]byte, 64))))
				q.Flush()
			})
			m.Add(d)
			m.Start()
			begin := time.Now()
			seed()
			if e := getrandom(m, nonblock); e != syscall.EAGAIN {
				t.Errorf("getrandom before the device's bytes = %v; want EAGAIN", e)
			}
			want := patience
			if !rdrand {
				m.WantOutput("no source of random numbers")
				want = time.Hour
			}
			if e := await(m); e != 0 || time.Since(begin).Round(time.Second) != want {
				t.Errorf("RDRAND %v: getrandom = %v after %v; want 0 after %v", rdrand, e, time.Since(begin), want)
			}
			time.Sleep(2 * time.Hour)
			if n := len(m.Entropy()); n != 64 {
				t.Errorf("%d bytes were mixed in; want 64", n)
			}
			m.WantQuiet()
		})
	}
}

// Who waits for random numbers goes on when a device has brought some, and again when the
// machine goes on from a saved state, after which the old ones count no more.
func TestEntropyAfterResume(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.NoRDRAND = true
		m.Add(source(t, m, 'x'))
		m.Start()
		seed()
		if e := getrandom(m, nonblock); e != 0 {
			t.Errorf("getrandom = %v; want 0", e)
		}
		m.Resume()
		if e := getrandom(m, nonblock); e != syscall.EAGAIN {
			t.Errorf("getrandom after the resume = %v; want EAGAIN", e)
		}
		Reseed()
		if e := getrandom(m, nonblock); e != 0 || len(m.Entropy()) != 128 {
			t.Errorf("getrandom = %v after %d bytes of the device; want 0, 128", e, len(m.Entropy()))
		}
		m.WantQuiet()
	})
}
