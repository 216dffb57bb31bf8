package blk_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/mmio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/pci"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const (
	transport = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc
	modern    = transport | blk.FeatureSegMax | blk.FeatureBlockSize | blk.FeatureFlush |
		blk.FeatureDiscard | blk.FeatureWriteZeroes | blk.FeatureTopology | blk.FeatureMultiQueue
)

// configuration is that of a disk of 4 MiB with one queue.
func configuration() virtiotest.DiskConfig {
	return virtiotest.DiskConfig{
		Capacity: 4 << 20 / 512, SizeMax: 8192, SegMax: 126, BlockSize: 512, Queues: 1,
		Cylinders: 3, Heads: 4, Sectors: 5, PhysicalExp: 3, MinIO: 8, OptIO: 128,
		MaxDiscard: 1024, MaxDiscardSeg: 1, DiscardAlignment: 8, MaxZeroes: 100, MaxZeroesSeg: 1, MayUnmap: 1,
	}
}

// disk is a driver with its device.
type disk struct {
	*blk.Device
	*virtiotest.Disk
	mem *virtiotest.Memory
}

// newDisk returns a driver whose device works only when Serve is called, and
// whose interrupts must be handled.
func newDisk(t testing.TB, features uint64, c virtiotest.DiskConfig, opt blk.Options, queues ...int) disk {
	t.Helper()
	mem := virtiotest.NewMemory(1200)
	d := disk{Disk: virtiotest.NewDisk(mem, features, c, queues...), mem: mem}
	var err error
	if d.Device, err = blk.New(d.Disk.Device, mem, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// start makes device and driver work.
func (d disk) start(t testing.TB) disk {
	line, work := virtiotest.NewLine(), virtiotest.NewLine()
	d.Disk.Device.Raised = line.Raise
	d.Run(work)
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(func() { d.Close(); line.Close(); work.Close() })
	return d
}

func pattern(b []byte) []byte {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestInfo(t *testing.T) {
	c := configuration()
	c.Capacity, c.BlockSize, c.Queues = 8195, 4096, 2
	d := newDisk(t, modern|blk.FeatureSizeMax|blk.FeatureGeometry|blk.FeatureReadOnly, c, blk.Options{Queues: 4}, 256, 256)
	want := blk.Info{
		Capacity: 8192 * 512, BlockSize: 4096, PhysicalBlock: 32768, MinIO: 32768, OptimalIO: 128 * 4096,
		ReadOnly: true, WriteCache: true, Geometry: blk.Geometry{Cylinders: 3, Heads: 4, Sectors: 5},
		MaxSegments: 62, MaxSegment: 8192, MaxBytes: 62 * 8192,
		Discard:     blk.RangeLimits{MaxBytes: 1024 * 512, Alignment: 4096},
		WriteZeroes: blk.RangeLimits{MaxBytes: 96 * 512}, Unmap: true,
		Queues: 2, QueueSize: 128,
	}
	if got := d.Info(); got != want {
		t.Errorf("Info() = %+v; want %+v", got, want)
	}
	// Without features: what a plain device of the specification can do.
	want = blk.Info{Capacity: 8195 * 512, BlockSize: 512, PhysicalBlock: 512, MaxSegments: 1, MaxSegment: 1 << 20,
		MaxBytes: 1 << 20, Queues: 1, QueueSize: 64, Legacy: true}
	if got := newDisk(t, 0, c, blk.Options{}, 64).Info(); got != want {
		t.Errorf("Info() without features = %+v; want %+v", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil    func(*virtiotest.DiskConfig)
		features uint64
		queues   []int
		want     error
	}{
		"capacity":              {spoil: func(c *virtiotest.DiskConfig) { c.Capacity = 1 << 54 }, want: blk.ErrCapacity},
		"capacity, all ones":    {spoil: func(c *virtiotest.DiskConfig) { c.Capacity = 1<<64 - 1 }, want: blk.ErrCapacity},
		"block size 0":          {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize = 0 }, want: blk.ErrBlockSize},
		"block size 256":        {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize = 256 }, want: blk.ErrBlockSize},
		"block size 1536":       {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize = 1536 }, want: blk.ErrBlockSize},
		"block size 128 KiB":    {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize = 128 << 10 }, want: blk.ErrBlockSize},
		"size_max 0":            {spoil: func(c *virtiotest.DiskConfig) { c.SizeMax = 0 }, want: blk.ErrSizeMax},
		"size_max 511":          {spoil: func(c *virtiotest.DiskConfig) { c.SizeMax = 511 }, want: blk.ErrSizeMax},
		"seg_max 0":             {spoil: func(c *virtiotest.DiskConfig) { c.SegMax = 0 }, want: blk.ErrSegMax},
		"seg_max × size_max":    {spoil: func(c *virtiotest.DiskConfig) { c.SegMax, c.BlockSize = 1, 16384 }, want: blk.ErrSegments},
		"physical_block_exp":    {spoil: func(c *virtiotest.DiskConfig) { c.PhysicalExp = 255 }, want: blk.ErrPhysicalExp},
		"physical_block_exp 22": {spoil: func(c *virtiotest.DiskConfig) { c.PhysicalExp = 22 }, want: blk.ErrPhysicalExp},
		"num_queues":            {spoil: func(c *virtiotest.DiskConfig) { c.Queues = 0 }, want: blk.ErrNumQueues},
		"num_queues too many":   {spoil: func(c *virtiotest.DiskConfig) { c.Queues = 2 }, want: virtio.ErrNoQueue},
		"max_discard":           {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize, c.MaxDiscard = 4096, 7 }, want: blk.ErrMaxDiscard},
		"max_write_zeroes":      {spoil: func(c *virtiotest.DiskConfig) { c.BlockSize, c.MaxZeroes = 4096, 7 }, want: blk.ErrMaxZeroes},
		"not modern":            {features: modern &^ virtio.FeatureVersion1, want: virtio.ErrFeatures},
		"no queue":              {queues: []int{0}, want: virtio.ErrNoQueue},
		"small queue":           {queues: []int{2}, want: blk.ErrQueueSmall},
		"queue size":            {queues: []int{100}, want: virtio.ErrQueueSize},
	} {
		c := configuration()
		mem := virtiotest.NewMemory(16)
		features := modern | blk.FeatureSizeMax
		if tt.features != 0 {
			features = tt.features
		}
		if tt.queues == nil {
			tt.queues = []int{64}
		}
		if tt.spoil != nil {
			tt.spoil(&c)
		}
		dev := virtiotest.NewDevice(virtio.TypeBlock, mem, features, c.Bytes(), tt.queues...)
		if _, err := blk.New(dev, mem, blk.Options{Queues: 2}); !errors.Is(err, tt.want) {
			t.Errorf("%s: New = %v; want %v", name, err, tt.want)
		}
		if dev.Status() != 0 {
			t.Errorf("%s: device was not reset", name)
		}
	}
	mem := virtiotest.NewMemory(16)
	if _, err := blk.New(virtiotest.NewDevice(virtio.TypeNet, mem, modern, nil, 64), mem, blk.Options{}); !errors.Is(err, blk.ErrNotBlock) {
		t.Errorf("New of a network device = %v; want %v", err, blk.ErrNotBlock)
	}
}

// The driver works through the registers of both transports.
func TestTransports(t *testing.T) {
	open := map[string]func(*virtiotest.Device) (virtio.Transport, error){
		"mmio": func(dev *virtiotest.Device) (virtio.Transport, error) {
			return mmio.Probe(&virtiotest.MMIO{Device: dev})
		},
		"pci": func(dev *virtiotest.Device) (virtio.Transport, error) {
			f := virtiotest.NewPCI(dev)
			return pci.Open(f, f.Map, []pci.Message{{Address: 0xfee00000, Data: 0x40}})
		},
	}
	for name, tt := range map[string]struct {
		open     string
		features uint64
	}{
		"mmio": {"mmio", modern}, "legacy mmio": {"mmio", blk.FeatureFlush | blk.FeatureBlockSize}, "pci": {"pci", modern},
	} {
		t.Run(name, func(t *testing.T) {
			mem := virtiotest.NewMemory(64)
			c := configuration()
			c.Queues = 2
			d := disk{Disk: virtiotest.NewDisk(mem, tt.features, c, 64, 64), mem: mem}
			tr, err := open[tt.open](d.Disk.Device)
			if err != nil {
				t.Fatal(err)
			}
			if d.Device, err = blk.New(tr, mem, blk.Options{Queues: 2}); err != nil {
				t.Fatal(err)
			}
			d.start(t)
			out, in := pattern(mem.Buffer(512, 8192)), mem.Buffer(0, 8192)
			for range 4 {
				if err := d.WriteAt([][]byte{out}, 4096); err != nil {
					t.Fatal(err)
				}
				if err := d.ReadAt([][]byte{in}, 4096); err != nil || !bytes.Equal(in, out) {
					t.Fatalf("ReadAt = %v, same bytes %v; want nil, true", err, bytes.Equal(in, out))
				}
			}
			if err := d.Flush(); err != nil || !bytes.Equal(d.Durable[4096:][:8192], out) {
				t.Errorf("Flush = %v; want nil, and the data durable", err)
			}
		})
	}
}

func TestResize(t *testing.T) {
	var told []int64
	d := newDisk(t, modern, configuration(), blk.Options{Resized: func(n int64) { told = append(told, n) }}, 64)
	d.HandleInterrupt()
	d.Disk.Device.SetConfig(24, 3) // another field
	d.HandleInterrupt()
	d.Disk.Device.SetConfig(0, 0, 0, 1) // 65536 sectors
	if err := d.HandleInterrupt(); err != nil || d.Info().Capacity != 32<<20 || len(told) != 1 || told[0] != 32<<20 {
		t.Errorf("after the change: error %v, capacity %d, told %d; want nil, %d, once", err, d.Info().Capacity, told, 32<<20)
	}
	d.Disk.Device.SetConfig(7, 0xff)
	if err := d.HandleConfigChange(); !errors.Is(err, blk.ErrCapacity) || d.Disk.Device.Alive() {
		t.Errorf("capacity beyond 2^63: %v, alive %v; want %v, false", err, d.Disk.Device.Alive(), blk.ErrCapacity)
	}
	if err := d.ReadAt([][]byte{d.mem.Buffer(0, 512)}, 0); !errors.Is(err, blk.ErrCapacity) {
		t.Errorf("ReadAt after that = %v; want %v", err, blk.ErrCapacity)
	}
}

// torn is a legacy device whose capacity changes while it is read.
type torn struct {
	*virtiotest.Device
	virtio.Registers
	reads int
}

func (d *torn) Config() virtio.Registers { d.Registers = d.Device.Config(); return d }

func (d *torn) ConfigGeneration() uint32 { return 0 }

func (d *torn) Read32(off uintptr) uint32 {
	if d.reads++; d.reads == 2 {
		d.SetConfig(0, 0, 0, 0, 0, 1)
	}
	return d.Registers.Read32(off)
}

// virtio 1.2 §2.5.4: a legacy device does not say that its configuration changed.
func TestCapacityTorn(t *testing.T) {
	c := configuration()
	c.Capacity = 1<<32 - 8
	mem := virtiotest.NewMemory(16)
	dev := virtiotest.NewDevice(virtio.TypeBlock, mem, 0, c.Bytes(), 64)
	dev.Old = true
	d, err := blk.New(&torn{Device: dev}, mem, blk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Info().Capacity; got != 1<<41 {
		t.Errorf("capacity %#x; want %#x, as it is after the change", got, int64(1)<<41)
	}
}

// However a device ends, every request ends with the reason, and so do later
// ones.
func TestEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(d disk)
		want error
	}{
		"close":       {func(d disk) { d.Close() }, virtio.ErrClosed},
		"needs reset": {func(d disk) { d.Disk.Device.NeedReset(); d.HandleInterrupt() }, virtio.ErrNeedsReset},
		"message":     {func(d disk) { d.Disk.Device.NeedReset(); d.HandleConfigChange() }, virtio.ErrNeedsReset},
		"stuck":       {func(d disk) { d.Disk.Device.StuckReset = true; d.Close() }, virtio.ErrReset},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t, modern, configuration(), blk.Options{}, 4)
			const n = 9 // more than the queue holds, the last in many parts
			ended := make(map[*blk.Request]error)
			var reqs []*blk.Request
			for i := range n {
				r := &blk.Request{Buffers: [][]byte{d.mem.Buffer(0, 512)}}
				if i == n-1 {
					r.Buffers = [][]byte{d.mem.Buffer(0, 100*virtio.PageSize)}
				}
				r.Done = func(r *blk.Request) {
					if _, twice := ended[r]; twice {
						t.Error("Done was called twice")
					}
					ended[r] = r.Err
				}
				reqs = append(reqs, r)
			}
			d.Submit(blk.AnyQueue, reqs...)
			if len(ended) != 0 {
				t.Fatalf("%d requests have ended before the device", len(ended))
			}
			tt.end(d)
			for i, r := range reqs {
				if err, ok := ended[r]; !ok || !errors.Is(err, tt.want) {
					t.Errorf("request %d ended %v, %v; want true, %v", i, ok, err, tt.want)
				}
			}
			d.Close()
			for name, err := range map[string]error{
				"ReadAt": d.ReadAt([][]byte{d.mem.Buffer(0, 512)}, 0), "Flush": d.Flush(), "empty ReadAt": d.ReadAt(nil, 0),
			} {
				if err == nil {
					t.Errorf("%s after the end = nil; want an error", name)
				}
			}
		})
	}
}
