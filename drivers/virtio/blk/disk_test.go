package blk_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

func newKernelDisk(t *testing.T, d disk, opt blk.DiskOptions) *blk.Disk {
	t.Helper()
	k, err := blk.NewDisk(d.Device, opt)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The kernel is told when a call waits and when it has returned, and buffers are
// made writable before the device gets them.
func TestDisk(t *testing.T) {
	var waiting, most atomic.Int64
	touched := 0
	d := newDisk(t, modern, configuration(), blk.Options{}, 64).start(t)
	k := newKernelDisk(t, d, blk.DiskOptions{
		Waiting: func(n int) {
			if now := waiting.Add(int64(n)); now > most.Load() {
				most.Store(now)
			}
		},
		Touch: func(p []byte) { touched += len(p) },
	})
	out, in := pattern(d.mem.Buffer(0, 8192)), d.mem.Buffer(0, 8192)
	for name, e := range map[string]syscall.Errno{
		"WriteAt": k.WriteAt([][]byte{out[:512], out[512:]}, 4096),
		"ReadAt":  k.ReadAt([][]byte{in[:5000], in[5000:]}, 4096),
		"Flush":   k.Flush(),
	} {
		if e != 0 {
			t.Errorf("%s = %v; want 0", name, e)
		}
	}
	if !bytes.Equal(in, out) || !bytes.Equal(d.Durable[4096:][:8192], out) {
		t.Error("the data read or made durable is not what was written")
	}
	if touched != 8192 || waiting.Load() != 0 || most.Load() != 1 {
		t.Errorf("touched %d bytes, %d still waiting, at most %d; want 8192, 0, 1", touched, waiting.Load(), most.Load())
	}
	some := [][]byte{pattern(d.mem.Buffer(0, 512)), pattern(d.mem.Buffer(0, 1024)), pattern(d.mem.Buffer(0, 512))}
	e := k.WriteAll(3, func(i int) ([][]byte, int64) { return [][]byte{some[i]}, 1<<20 + int64(i)<<16 })
	for i, p := range some {
		if !bytes.Equal(d.Data[1<<20+i<<16:][:len(p)], p) {
			t.Errorf("write %d of WriteAll is not there", i)
		}
	}
	if e != 0 || waiting.Load() != 0 {
		t.Errorf("WriteAll = %v, %d still waiting; want 0, 0", e, waiting.Load())
	}
	e = k.WriteAll(2, func(i int) ([][]byte, int64) { return [][]byte{some[2*i]}, 2<<20 + int64(1-i)<<40 })
	if e != syscall.EINVAL || !bytes.Equal(d.Data[2<<20:][:512], some[2]) {
		t.Errorf("WriteAll of which one part is beyond the end = %v; want EINVAL, and the other part written", e)
	}
	if e := k.Discard(4096, 4096); e != 0 || !bytes.Equal(d.Data[4096:8192], make([]byte, 4096)) {
		t.Errorf("Discard = %v", e)
	}
	if e := k.WriteZeroes(8192, 4096); e != 0 || !bytes.Equal(d.Data[8192:12288], make([]byte, 4096)) {
		t.Errorf("WriteZeroes = %v", e)
	}
	if k.Size() != 4<<20 || k.BlockSize() != 512 || k.ReadOnly() {
		t.Errorf("size %d, block %d, read-only %v; want 4 MiB, 512, false", k.Size(), k.BlockSize(), k.ReadOnly())
	}
}

func TestDiskErrors(t *testing.T) {
	status := func(s byte) func(d disk) {
		return func(d disk) {
			d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool { d.Answer(q, c, s, 1); return true }
		}
	}
	write := func(off int64, n int) func(disk, *blk.Disk) syscall.Errno {
		return func(d disk, k *blk.Disk) syscall.Errno { return k.WriteAt([][]byte{d.mem.Buffer(0, n)}, off) }
	}
	for name, tt := range map[string]struct {
		features uint64
		spoil    func(disk)
		call     func(disk, *blk.Disk) syscall.Errno
		want     syscall.Errno
	}{
		"of the device": {modern, status(virtiotest.DiskIOErr), write(0, 512), syscall.EIO},
		"unsupported":   {modern, status(virtiotest.DiskUnsupported), func(_ disk, k *blk.Disk) syscall.Errno { return k.WriteZeroes(0, 512) }, syscall.EOPNOTSUPP},
		"not offered": {modern &^ blk.FeatureDiscard, nil,
			func(_ disk, k *blk.Disk) syscall.Errno { return k.Discard(0, 512) }, syscall.EOPNOTSUPP},
		"read-only":  {modern | blk.FeatureReadOnly, nil, write(0, 512), syscall.EROFS},
		"alignment":  {modern, nil, write(100, 512), syscall.EINVAL},
		"length":     {modern, nil, write(0, 100), syscall.EINVAL},
		"beyond end": {modern, nil, write(4<<20, 512), syscall.EINVAL},
		"closed":     {modern, func(d disk) { d.Close() }, write(0, 512), syscall.EIO},
	} {
		d := newDisk(t, tt.features, configuration(), blk.Options{}, 64).start(t)
		k := newKernelDisk(t, d, blk.DiskOptions{})
		if tt.spoil != nil {
			tt.spoil(d)
		}
		if e := tt.call(d, k); e != tt.want {
			t.Errorf("%s: %v; want %v", name, e, tt.want)
		}
	}
	c := configuration()
	c.BlockSize = 8192
	if _, err := blk.NewDisk(newDisk(t, modern, c, blk.Options{}, 64).Device, blk.DiskOptions{}); !errors.Is(err, blk.ErrLargeBlocks) {
		t.Errorf("NewDisk of a device with blocks of 8 KiB = %v; want %v", err, blk.ErrLargeBlocks)
	}
}

// virtio 1.2 §5.2.6.1: VIRTIO_BLK_T_GET_ID returns up to 20 bytes.
func TestID(t *testing.T) {
	for _, want := range []string{"", "data", "exactly-twenty-bytes"} {
		for _, features := range []uint64{modern, 0} {
			d := newDisk(t, features, configuration(), blk.Options{}, 64)
			d.Disk.ID = want
			d.start(t)
			for range 2 {
				if got, err := d.Device.ID(); got != want || err != nil {
					t.Errorf("ID() = %q, %v; want %q, nil", got, err, want)
				}
			}
		}
	}
	d := newDisk(t, modern, configuration(), blk.Options{}, 64).start(t)
	d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
		d.Answer(q, c, virtiotest.DiskIOErr, 1)
		return true
	}
	if _, err := d.Device.ID(); !errors.Is(err, blk.ErrIO) {
		t.Errorf("ID() of a device that fails = %v; want %v", err, blk.ErrIO)
	}
	done := false
	r := &blk.Request{Op: blk.Identify, Buffers: [][]byte{make([]byte, 19)}, Done: func(*blk.Request) { done = true }}
	if d.Submit(0, r); !done || !errors.Is(r.Err, blk.ErrIDSize) || !d.Disk.Device.Alive() {
		t.Errorf("Identify with 19 bytes: done %v, %v; want true, %v", done, r.Err, blk.ErrIDSize)
	}
}
