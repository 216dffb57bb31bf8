package net_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const (
	ring    = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc
	basic   = ring | virtionet.FeatureMAC | virtionet.FeatureStatus | virtionet.FeatureMTU
	sending = virtionet.FeatureCsum | virtionet.FeatureHostTSO4 | virtionet.FeatureHostTSO6
	merging = virtionet.FeatureGuestCsum | virtionet.FeatureGuestTSO4 | virtionet.FeatureGuestTSO6 | virtionet.FeatureMrgRxbuf
	all     = basic | sending | merging
)

// configuration with address 52:54:00:12:34:56, link up, MTU 1500.
func configuration() []byte {
	return []byte{0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0xdc, 0x05}
}

// user is a virtionet.Handler that keeps account of every buffer and packet.
type user struct {
	mem  *virtiotest.Memory
	size int // of receive buffers
	off  int // where in a page they begin

	mu       sync.Mutex
	made     int
	limit    int // most buffers in use, if not 0
	pool     []*buffer
	out      map[*buffer]bool // with the driver
	packets  []received
	sent     []any
	writable int
	links    []bool
	failed   chan error
}

type buffer struct{ data []byte }

type received struct {
	header virtionet.Header
	data   string
	parts  int
}

func newUser(mem *virtiotest.Memory, off, size int) *user {
	return &user{mem: mem, off: off, size: size, out: map[*buffer]bool{}, failed: make(chan error, 2)}
}

func (u *user) Buffer() ([]byte, any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.limit != 0 && len(u.out) >= u.limit {
		return nil, nil
	}
	if len(u.pool) == 0 {
		u.made++
		u.pool = append(u.pool, &buffer{u.mem.Buffer(u.off, u.size)})
	}
	b := u.pool[len(u.pool)-1]
	u.pool = u.pool[:len(u.pool)-1]
	u.out[b] = true
	return b.data, b
}

func (u *user) Free(owner any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := owner.(*buffer)
	if !u.out[b] {
		panic("buffer came back that the driver did not have")
	}
	delete(u.out, b)
	u.pool = append(u.pool, b)
}

func (u *user) Receive(packets []virtionet.Packet) {
	for _, p := range packets {
		r := received{header: p.Header, parts: len(p.Buffers)}
		for _, b := range p.Buffers {
			r.data += string(b.Data)
			u.Free(b.Owner)
		}
		if p.Len != len(r.data) {
			panic("Packet.Len is wrong")
		}
		u.mu.Lock()
		u.packets = append(u.packets, r)
		u.mu.Unlock()
	}
}

func (u *user) Sent(owner any) {
	u.mu.Lock()
	u.sent = append(u.sent, owner)
	u.mu.Unlock()
}

func (u *user) Writable() { u.mu.Lock(); u.writable++; u.mu.Unlock() }

func (u *user) LinkChanged(up bool) { u.links = append(u.links, up) }

func (u *user) Failed(err error) { u.failed <- err }

func (u *user) counts() (held, sent, writable int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.out), len(u.sent), u.writable
}

// bench is a driver with its device, both driven by the test.
type bench struct {
	*virtionet.Device
	user *user
	dev  *virtiotest.Device
	mem  *virtiotest.Memory
}

func newBench(t testing.TB, features uint64, o virtionet.Options) *bench {
	t.Helper()
	mem := virtiotest.NewMemory(512)
	dev := virtiotest.NewDevice(virtio.TypeNet, mem, features, configuration(), 256, 256)
	dev.Old = features&virtio.FeatureVersion1 == 0
	b := &bench{user: newUser(mem, 0, 2048), dev: dev, mem: mem}
	d, err := virtionet.New(dev, mem, b.user, o)
	if err != nil {
		t.Fatal(err)
	}
	b.Device = d
	t.Cleanup(d.Close)
	return b
}

func (b *bench) rx() *virtiotest.Queue { return b.dev.Queues[0] }
func (b *bench) tx() *virtiotest.Queue { return b.dev.Queues[1] }

// wantFailure waits for the device to fail, and checks that it was reset and
// everything returned.
func (b *bench) wantFailure(t *testing.T, want error) {
	t.Helper()
	select {
	case err := <-b.user.failed:
		if !errors.Is(err, want) {
			t.Errorf("Failed(%v); want %v", err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("device did not fail; want %v", want)
	}
	if !errors.Is(b.Err(), want) || !errors.Is(b.HandleInterrupt(), want) {
		t.Errorf("Err() = %v, HandleInterrupt() = %v; want %v", b.Err(), b.HandleInterrupt(), want)
	}
	if err := b.Send(virtionet.Header{}, [][]byte{b.mem.Buffer(0, 60)}, nil); !errors.Is(err, want) {
		t.Errorf("Send() = %v; want %v", err, want)
	}
	if b.dev.Status() != 0 {
		t.Error("device was not reset")
	}
	if held, _, _ := b.user.counts(); held != 0 {
		t.Errorf("%d receive buffers were not returned", held)
	}
}

func TestInfo(t *testing.T) {
	mac := [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	tests := []struct {
		name     string
		features uint64
		without  uint64
		want     virtionet.Info
	}{
		{"all", all, 0, virtionet.Info{MAC: mac, HasMAC: true, MTU: 1500, MinBuffer: 24,
			Offloads: virtionet.Offloads{TxChecksum: true, TxTSO4: true, TxTSO6: true,
				RxChecksum: true, RxTSO4: true, RxTSO6: true, Mergeable: true}}},
		{"bare", ring, 0, virtionet.Info{MinBuffer: 1530}},
		{"legacy", virtionet.FeatureMAC, 0, virtionet.Info{MAC: mac, HasMAC: true, Legacy: true, MinBuffer: 1528}},
		{"segmentation without checksum", basic | virtionet.FeatureHostTSO4, 0,
			virtionet.Info{MAC: mac, HasMAC: true, MTU: 1500, MinBuffer: 1530}},
		{"large packets without mergeable buffers", basic | merging&^virtionet.FeatureMrgRxbuf, 0,
			virtionet.Info{MAC: mac, HasMAC: true, MTU: 1500, MinBuffer: 1530,
				Offloads: virtionet.Offloads{RxChecksum: true}}},
		{"without", all, merging, virtionet.Info{MAC: mac, HasMAC: true, MTU: 1500, MinBuffer: 1530,
			Offloads: virtionet.Offloads{TxChecksum: true, TxTSO4: true, TxTSO6: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.features, virtionet.Options{Without: tt.without})
			if got := b.Info(); got != tt.want {
				t.Errorf("Info() = %+v; want %+v", got, tt.want)
			}
			if !b.LinkUp() {
				t.Error("LinkUp() = false; want true")
			}
		})
	}
}

// Probe tells of a device without touching it, and of one at work.
func TestProbe(t *testing.T) {
	mem := virtiotest.NewMemory(128)
	dev := virtiotest.NewDevice(virtio.TypeNet, mem, all, configuration(), 256, 256)
	info, err := virtionet.Probe(dev)
	if err != nil || dev.Status() != 0 {
		t.Errorf("Probe = %v, status %#x; want nil, 0", err, dev.Status())
	}
	b := newBench(t, all, virtionet.Options{})
	if got, err := virtionet.Probe(b.dev); err != nil || got != b.Info() || info != b.Info() {
		t.Errorf("Probe = %+v before and %+v, %v at work; want %+v", info, got, err, b.Info())
	}
}

func TestLinkChanges(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.dev.SetConfig(6, 0)
	b.HandleInterrupt()
	b.dev.SetConfig(6, 0) // no change
	b.HandleInterrupt()
	b.dev.SetConfig(6, 1)
	b.HandleInterrupt()
	if got := b.user.links; len(got) != 2 || got[0] || !got[1] || !b.LinkUp() {
		t.Errorf("LinkChanged calls = %v; want [false true]", got)
	}
}

func TestNewRefuses(t *testing.T) {
	config := func(off int, v ...byte) []byte { c := configuration(); copy(c[off:], v); return c }
	tests := []struct {
		name   string
		typ    virtio.DeviceType
		config []byte
		queues []int
		spoil  func(*virtiotest.Device, *user)
		want   error
	}{
		{"type", virtio.TypeBlock, configuration(), []int{256, 256}, nil, virtionet.ErrNotNet},
		{"MTU", virtio.TypeNet, config(10, 67, 0), []int{256, 256}, nil, virtionet.ErrMTU},
		{"no queues", virtio.TypeNet, configuration(), nil, nil, virtio.ErrNoQueue},
		{"one queue", virtio.TypeNet, configuration(), []int{256}, nil, virtio.ErrNoQueue},
		{"queue size", virtio.TypeNet, configuration(), []int{255, 256}, nil, virtio.ErrQueueSize},
		{"restless configuration", virtio.TypeNet, configuration(), []int{256, 256},
			func(d *virtiotest.Device, u *user) { d.RestlessSpace = true }, virtio.ErrConfigUnstable},
		{"no memory", virtio.TypeNet, configuration(), []int{256, 256},
			func(d *virtiotest.Device, u *user) { d.Memory.FailAlloc(true) }, virtiotest.ErrNoMemory},
		{"small buffers", virtio.TypeNet, configuration(), []int{256, 256},
			func(d *virtiotest.Device, u *user) { u.size = 1000 }, virtionet.ErrBuffer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := virtiotest.NewMemory(128)
			dev := virtiotest.NewDevice(tt.typ, mem, basic, tt.config, tt.queues...)
			u := newUser(mem, 0, 2048)
			if tt.spoil != nil {
				tt.spoil(dev, u)
			}
			if _, err := virtionet.New(dev, mem, u, virtionet.Options{}); !errors.Is(err, tt.want) {
				t.Errorf("New() = %v; want %v", err, tt.want)
			}
			if held, _, _ := u.counts(); held != 0 || dev.Status() != 0 {
				t.Errorf("%d buffers not returned, status %#x; want none and 0", held, dev.Status())
			}
		})
	}
}

// A group address is nobody's own: the user has to choose one.
func TestUnusableAddress(t *testing.T) {
	mem := virtiotest.NewMemory(128)
	dev := virtiotest.NewDevice(virtio.TypeNet, mem, basic, []byte{1, 2, 3, 4, 5, 6, 1, 0, 0, 0, 0xdc, 5}, 64, 64)
	d, err := virtionet.New(dev, mem, newUser(mem, 0, 2048), virtionet.Options{})
	if err != nil || d.Info().HasMAC {
		t.Errorf("New() = %v, HasMAC %v; want nil, false", err, d.Info().HasMAC)
	}
}

func TestNeedsReset(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.Send(virtionet.Header{}, [][]byte{b.mem.Buffer(0, 60)}, "packet")
	b.Kick()
	b.dev.NeedReset()
	b.HandleInterrupt()
	b.wantFailure(t, virtio.ErrNeedsReset)
	if len(b.user.sent) != 1 || b.user.sent[0] != "packet" {
		t.Errorf("Sent calls = %v; want the packet in flight back", b.user.sent)
	}
}

// A device that was reset behind the driver's back has a status of 0.
func TestResetInFlight(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.dev.SetStatus(0)
	b.HandleConfigChange()
	b.wantFailure(t, virtio.ErrNeedsReset)
}

func TestRestlessConfiguration(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	b.dev.RestlessSpace = true
	b.dev.SetConfig(6, 0)
	b.HandleInterrupt()
	b.wantFailure(t, virtio.ErrConfigUnstable)
}

// A device that does not confirm its reset may still write to the buffers.
func TestStuckResetKeepsBuffers(t *testing.T) {
	b := newBench(t, all, virtionet.Options{})
	before, _, _ := b.user.counts()
	b.dev.StuckReset = true
	b.Close()
	if after, _, _ := b.user.counts(); after != before || after == 0 {
		t.Errorf("driver returned buffers of a live device: holds %d, before %d", after, before)
	}
}
