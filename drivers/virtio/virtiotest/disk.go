package virtiotest

import (
	"encoding/binary"
	"fmt"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Disk is a block device (virtio 1.2 §5.2) in memory. It panics at requests that
// the specification or its own configuration forbids.
type Disk struct {
	Device  *Device
	Config  DiskConfig
	Data    []byte         // what reads see
	Durable []byte         // what a flush has saved
	Count   map[uint32]int // requests by their type
	ID      string         // the serial number; "" makes its request unsupported
	// Intercept, if not nil, sees a request first. If it returns true, the
	// request is its own: to answer by Finish or in any other way, or never.
	Intercept func(q *Queue, c *Chain) bool
}

// DiskConfig is the configuration space (§5.2.4). What is here is taken to be
// right; it can be made to lie after NewDisk.
type DiskConfig struct {
	Capacity         uint64 // sectors of 512 bytes
	SizeMax, SegMax  uint32
	Cylinders        uint16
	Heads, Sectors   uint8
	BlockSize        uint32
	PhysicalExp      uint8
	AlignmentOffset  uint8
	MinIO            uint16
	OptIO            uint32
	Writeback        uint8
	_                uint8
	Queues           uint16
	MaxDiscard       uint32
	MaxDiscardSeg    uint32
	DiscardAlignment uint32
	MaxZeroes        uint32
	MaxZeroesSeg     uint32
	MayUnmap         uint8
	_                [3]uint8
}

// Bytes returns the configuration as the driver reads it.
func (c DiskConfig) Bytes() []byte {
	b, err := binary.Append(nil, binary.LittleEndian, c)
	if err != nil {
		panic(err)
	}
	return b
}

// Types and answers of requests (§5.2.6).
const (
	DiskIn, DiskOut, DiskFlush         = 0, 1, 4
	DiskGetID                          = 8
	DiskDiscard, DiskZeroes            = 11, 13
	DiskOK, DiskIOErr, DiskUnsupported = 0, 1, 2
)

const (
	diskSizeMax = 1 << 1
	diskSegMax  = 1 << 2
	diskRO      = 1 << 5
	diskBlkSize = 1 << 6
	diskFlush   = 1 << 9
	diskDiscard = 1 << 13
	diskZeroes  = 1 << 14
)

// NewDisk returns a disk of the configured capacity, with queues of the given
// largest sizes.
func NewDisk(mem *Memory, offered uint64, c DiskConfig, queues ...int) *Disk {
	d := &Disk{
		Device:  NewDevice(virtio.TypeBlock, mem, offered, c.Bytes(), queues...),
		Config:  c,
		Data:    make([]byte, c.Capacity*512),
		Durable: make([]byte, c.Capacity*512),
		Count:   map[uint32]int{},
	}
	d.Device.Old = offered&virtio.FeatureVersion1 == 0
	return d
}

// Run answers requests in a goroutine until the line is closed.
func (d *Disk) Run(work *Line) {
	d.Device.Notified = func(int) { work.Raise(0) }
	go func() {
		for work.Wait() == nil {
			d.Device.Do(d.Serve)
		}
	}()
}

// Serve answers all requests that are there.
func (d *Disk) Serve() {
	var c Chain
	for _, q := range d.Device.Queues {
		q.Drain(&c, func(c *Chain) {
			if d.Intercept == nil || !d.Intercept(q, c) {
				d.Finish(q, c)
			}
		})
	}
}

// Finish carries a request out and answers it.
func (d *Disk) Finish(q *Queue, c *Chain) {
	status, written := d.do(c)
	*statusOf(c) = status
	q.Push(c.Head, written+1)
	q.Flush()
}

// Answer answers a request without carrying it out.
func (d *Disk) Answer(q *Queue, c *Chain, status byte, written uint32) {
	*statusOf(c) = status
	q.Push(c.Head, written)
	q.Flush()
}

// Request returns type and sector of a request.
func (d *Disk) Request(c *Chain) (typ uint32, sector uint64) {
	if len(c.Read) == 0 || len(c.Read[0]) != 16 {
		panic("virtiotest: disk request without a header in a descriptor of its own")
	}
	return binary.LittleEndian.Uint32(c.Read[0]), binary.LittleEndian.Uint64(c.Read[0][8:])
}

func statusOf(c *Chain) *byte {
	if len(c.Write) == 0 || len(c.Write[len(c.Write)-1]) != 1 {
		panic("virtiotest: disk request without a status byte")
	}
	return &c.Write[len(c.Write)-1][0]
}

func (d *Disk) do(c *Chain) (status byte, written uint32) {
	typ, sector := d.Request(c)
	d.Count[typ]++
	data := c.Read[1:]
	if typ == DiskIn || typ == DiskGetID {
		data = c.Write[:len(c.Write)-1]
	}
	d.check(typ, data)
	accepted := d.Device.Accepted()
	switch {
	case typ == DiskIn:
		return DiskOK, d.each(sector, data, func(at uint64, part []byte) { copy(part, d.Data[at:at+uint64(len(part))]) })
	case typ == DiskOut && accepted&diskRO == 0:
		d.each(sector, data, func(at uint64, part []byte) {
			copy(d.Data[at:at+uint64(len(part))], part)
			if accepted&diskFlush == 0 {
				copy(d.Durable[at:], part)
			}
		})
	case typ == DiskFlush && accepted&diskFlush != 0:
		copy(d.Durable, d.Data)
	case typ == DiskDiscard && accepted&diskDiscard != 0:
		clear(d.rangeOf(data, d.Config.MaxDiscard, false))
	case typ == DiskZeroes && accepted&diskZeroes != 0:
		clear(d.rangeOf(data, d.Config.MaxZeroes, d.Config.MayUnmap != 0))
	case typ == DiskGetID && d.ID != "":
		if len(data) != 1 || len(data[0]) != 20 {
			panic("virtiotest: request for the serial number without room for 20 bytes")
		}
		return DiskOK, uint32(copy(data[0], d.ID))
	default:
		return DiskUnsupported, 0
	}
	return DiskOK, 0
}

// check holds the data's segments against the limits.
func (d *Disk) check(typ uint32, data [][]byte) {
	if typ != DiskIn && typ != DiskOut {
		return
	}
	f, total := d.Device.Accepted(), 0
	for _, b := range data {
		if f&diskSizeMax != 0 && len(b) > int(d.Config.SizeMax) {
			panic(fmt.Sprintf("virtiotest: segment of %d bytes; size_max is %d", len(b), d.Config.SizeMax))
		}
		total += len(b)
	}
	block := 512
	if f&diskBlkSize != 0 {
		block = int(d.Config.BlockSize)
	}
	segMax := 1
	if f&diskSegMax != 0 {
		segMax = int(d.Config.SegMax)
	}
	if len(data) > segMax || total%block != 0 || total == 0 {
		panic(fmt.Sprintf("virtiotest: %d segments, %d bytes; seg_max is %d, the block size %d", len(data), total, segMax, block))
	}
}

// each calls f for each part of the data with its place on the disk.
func (d *Disk) each(sector uint64, data [][]byte, f func(at uint64, part []byte)) (n uint32) {
	at := sector * 512
	for _, b := range data {
		f(at, b)
		at += uint64(len(b))
		n += uint32(len(b))
	}
	return n
}

// rangeOf returns the part of the disk that a discard or write of zeroes names.
func (d *Disk) rangeOf(data [][]byte, maxSectors uint32, unmap bool) []byte {
	if len(data) != 1 || len(data[0]) != 16 {
		panic("virtiotest: range request whose data is not one range")
	}
	le := binary.LittleEndian
	sector, n, flags := le.Uint64(data[0]), le.Uint32(data[0][8:]), le.Uint32(data[0][12:])
	if maxSectors != 0 && n > maxSectors || flags > 1 || flags == 1 && !unmap {
		panic(fmt.Sprintf("virtiotest: range of %d sectors with flags %#x; the limit is %d", n, flags, maxSectors))
	}
	return d.Data[sector*512 : sector*512+uint64(n)*512]
}
