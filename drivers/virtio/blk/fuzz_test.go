package blk_test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// FuzzConfig starts a device with any configuration and features, and asks it
// for something of each kind. What the driver then says of the device must hold
// together.
func FuzzConfig(f *testing.F) {
	f.Add(uint64(modern|blk.FeatureSizeMax), configuration().Bytes(), uint16(64), uint64(1))
	f.Add(uint64(modern|blk.FeatureReadOnly), configuration().Bytes(), uint16(4), uint64(1<<54))
	f.Add(uint64(0), []byte{}, uint16(0), uint64(0))
	f.Add(uint64(blk.FeatureBlockSize), []byte{8, 0, 0, 0, 0, 0, 0, 0}, uint16(8), uint64(1<<63))
	big := configuration()
	big.Capacity, big.BlockSize, big.SegMax, big.SizeMax = 1<<54-1, 65536, 1<<32-1, 1<<32-1
	big.MaxDiscard, big.MaxZeroes, big.DiscardAlignment = 1<<32-1, 128, 1<<32-1
	f.Add(uint64(modern|blk.FeatureSizeMax), big.Bytes(), uint16(32768), uint64(0))
	f.Fuzz(func(t *testing.T, features uint64, config []byte, size uint16, capacity uint64) {
		mem := virtiotest.NewMemory(80)
		config = append([]byte(nil), config...)
		dev := virtiotest.NewDevice(virtio.TypeBlock, mem, features, config, int(size), 8)
		dev.Old = features&virtio.FeatureVersion1 == 0
		d, err := blk.New(dev, mem, blk.Options{Queues: 2, Reserve: true, QueueSize: 16})
		if err != nil {
			return
		}
		info := d.Info()
		if block := info.BlockSize; block < 512 || block&(block-1) != 0 || info.Capacity < 0 || info.Capacity%int64(block) != 0 ||
			info.MaxBytes <= 0 || info.MaxBytes%block != 0 || info.MaxSegments < 1 || info.PhysicalBlock < block ||
			info.Discard.MaxBytes%int64(block) != 0 || info.WriteZeroes.MaxBytes%int64(block) != 0 {
			t.Errorf("Info() = %+v, which cannot be", info)
		}
		ended, reqs := 0, []*blk.Request{
			{Op: blk.Read, Buffers: [][]byte{mem.Buffer(0, 65536)}},
			{Op: blk.Write, Offset: info.Capacity - 65536, Buffers: [][]byte{mem.Buffer(512, 65536)}},
			{Op: blk.Flush},
			{Op: blk.Discard, Length: info.Capacity},
			{Op: blk.WriteZeroes, Offset: info.Capacity / 2 &^ 65535, Length: min(info.Capacity/2, 1<<40) &^ 65535, Unmap: true},
		}
		for i, r := range reqs {
			r.Done = func(*blk.Request) { ended++ }
			d.Submit(i-1, r)
		}
		var c virtiotest.Chain
		for range 100 {
			for _, q := range dev.Queues {
				for q.Pop(&c) {
					n := uint32(0)
					for _, w := range c.Write {
						clear(w)
						n += uint32(len(w))
					}
					if data := c.Write[:len(c.Write)-1]; len(data) > info.MaxSegments || int(n)-1 > info.MaxBytes {
						t.Errorf("a read of %d bytes in %d segments; the limits are %d, %d", n-1, len(data), info.MaxBytes, info.MaxSegments)
					}
					q.Push(c.Head, n)
				}
				if q.Ready {
					q.Flush()
				}
			}
			d.HandleInterrupt()
		}
		if len(config) >= 8 {
			dev.SetConfig(0, byte(capacity), byte(capacity>>8), byte(capacity>>16), byte(capacity>>24),
				byte(capacity>>32), byte(capacity>>40), byte(capacity>>48), byte(capacity>>56))
			d.HandleInterrupt()
			if n := d.Info().Capacity; n < 0 || n%int64(info.BlockSize) != 0 {
				t.Errorf("capacity %d after the change to %#x sectors", n, capacity)
			}
		}
		d.Close()
		if ended != len(reqs) {
			t.Errorf("%d of %d requests ended", ended, len(reqs))
		}
	})
}

// FuzzDevice plays a device that writes anything to the used ring and into the
// status bytes. Every request must end exactly once, at the latest when the
// device is closed, and no read ends well if the device never said so.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})    // in order
	f.Add([]byte{0, 0, 0, 0, 0x80, 3, 0, 0})             // another id
	f.Add([]byte{0, 0, 1, 0, 4, 0, 2, 0, 0, 0, 9, 0})    // statuses
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 64, 0, 0, 0, 250}) // lengths, used index
	f.Fuzz(func(t *testing.T, script []byte) {
		mem := virtiotest.NewMemory(48)
		c := configuration()
		c.SegMax = 3
		features := uint64(modern)
		if len(script) > 0 && script[0]&0x40 != 0 {
			features &^= virtio.FeatureIndirectDesc
		}
		dev := virtiotest.NewDevice(virtio.TypeBlock, mem, features, c.Bytes(), 8)
		d, err := blk.New(dev, mem, blk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		q := dev.Queues[0]
		const n = 5
		var ended [n]int
		reqs := make([]*blk.Request, n)
		for i := range reqs {
			reqs[i] = &blk.Request{Op: blk.Op(i), Length: 1 << 20, Done: func(*blk.Request) { ended[i]++ }}
			if i < 2 {
				reqs[i].Buffers = [][]byte{mem.Buffer(512, 7*virtio.PageSize)}
			}
		}
		d.Submit(0, reqs...)
		var chain virtiotest.Chain
		ok := false
		for ; len(script) >= 4 && dev.Alive(); script = script[4:] {
			op, id, status, more := script[0], uint32(script[1]), script[2], script[3]
			if q.Pop(&chain) {
				chain.Write[len(chain.Write)-1][0] = status
			}
			written := uint32(0)
			for _, w := range chain.Write {
				written += uint32(len(w))
			}
			if op&0x80 == 0 {
				id = uint32(chain.Head)
			}
			if op&0x20 != 0 {
				written = uint32(script[1]) * uint32(script[1])
			}
			ok = ok || status == 0
			q.PutUsed(q.UsedIndex(), id, written)
			q.SetUsedIndex(q.UsedIndex() + 1 + uint16(int8(more)))
			d.HandleInterrupt()
		}
		d.Close()
		for i, r := range reqs {
			if r.Err == nil && !ok {
				t.Errorf("request %d ended well; the device never said so", i)
			}
			if ended[i] != 1 {
				t.Errorf("request %d ended %d times, with %v", i, ended[i], r.Err)
			}
		}
	})
}
