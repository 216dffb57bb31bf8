package disks

import (
	"sync"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/mounts"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// A machine that a test starts has disks of its own.
func init() {
	wiring.OnHostStart(func() {
		found, mounted = nil, nil
		mounting, unmountOnce = sync.Mutex{}, sync.Once{}
		answered.Store(0)
		mounts.Disk = nil
	})
}

const (
	mib      = 1 << 20
	features = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc |
		blk.FeatureSegMax | blk.FeatureBlockSize | blk.FeatureFlush
)

// newDisk returns a disk with an image; it works until the end of the test.
func newDisk(t *testing.T, m *wiringtest.Machine, image []byte, more uint64, queues ...int) *virtiotest.Disk {
	t.Helper()
	if queues == nil {
		queues = []int{64}
	}
	c := virtiotest.DiskConfig{Capacity: uint64(len(image)) / 512, SegMax: 30, BlockSize: 512, Queues: uint16(len(queues))}
	d := virtiotest.NewDisk(m.DeviceMemory(), features|more, c, queues...)
	d.Data = image
	work := virtiotest.NewLine()
	d.Run(work)
	t.Cleanup(work.Close)
	return d
}

// ext4Image returns a disk with an empty file system.
func ext4Image(t *testing.T) []byte {
	t.Helper()
	disk := blocktest.NewMemory(8*mib, 512)
	if err := ext4.Format(disk, ext4.FormatOptions{}); err != nil {
		t.Fatal(err)
	}
	return disk.Bytes()
}

// run starts the machine of a program that carries package disks, and reports whether
// it has ended.
func run(m *wiringtest.Machine, words ...string) (ended bool) {
	m.Disks = true
	return m.Start(words...) || m.Run(start)
}

// fill writes this much to a file.
func fill(t *testing.T, m *wiringtest.Machine, path string, n int) {
	t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i >> 8)
	}
	if e := m.WriteFile(path, string(b)); e != 0 {
		t.Errorf("writing %s: %v", path, e)
	}
}

// wantError checks that a file cannot be read.
func wantError(t *testing.T, m *wiringtest.Machine, path string, want syscall.Errno) {
	t.Helper()
	if _, e := m.ReadFile(path); e != want {
		t.Errorf("reading %s: %v; want %v", path, e, want)
	}
}
