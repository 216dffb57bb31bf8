package blk

import (
	"math"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Configuration space (§5.2.4). Sectors in it are of 512 bytes, whatever the
// block size is.
const (
	configCapacity         = 0 // 64 bits, sectors
	configSizeMax          = 8
	configSegMax           = 12
	configCylinders        = 16 // 16 bits
	configHeads            = 18 // 8 bits
	configSectors          = 19 // 8 bits
	configBlockSize        = 20
	configPhysicalExp      = 24 // 8 bits
	configMinIO            = 26 // 16 bits, blocks
	configOptIO            = 28 // blocks
	configNumQueues        = 34 // 16 bits
	configMaxDiscard       = 36 // sectors
	configDiscardAlignment = 44 // sectors
	configMaxZeroes        = 48 // sectors
	configMayUnmap         = 56 // 8 bits

	sectorSize = 512
)

// Limits of what is believed.
const (
	maxBlockSize     = 64 << 10
	maxPhysicalBlock = 1 << 30
	// maxBytes is the longest part of a read or write. A larger one saves
	// nothing, and the device cannot work on two halves of it at once.
	maxBytes = 1 << 20
)

// Errors of a configuration that cannot be right; each keeps the device from
// starting, ErrCapacity also ends it.
const (
	ErrCapacity    = virtio.Error("virtio-blk: configuration: capacity is beyond 2^63 bytes")
	ErrBlockSize   = virtio.Error("virtio-blk: configuration: blk_size is not a power of two from 512 to 65536")
	ErrSizeMax     = virtio.Error("virtio-blk: configuration: size_max is below 512")
	ErrSegMax      = virtio.Error("virtio-blk: configuration: seg_max is 0")
	ErrSegments    = virtio.Error("virtio-blk: configuration: seg_max segments of size_max bytes do not hold one block of blk_size")
	ErrPhysicalExp = virtio.Error("virtio-blk: configuration: physical_block_exp makes a physical block of more than 1 GiB")
	ErrNumQueues   = virtio.Error("virtio-blk: configuration: num_queues is 0")
	ErrMaxDiscard  = virtio.Error("virtio-blk: configuration: max_discard_sectors is less than one block")
	ErrMaxZeroes   = virtio.Error("virtio-blk: configuration: max_write_zeroes_sectors is less than one block")
)

// Info is what a device is and can do. Sizes are in bytes; 0 means that the
// device does not tell, unless said otherwise.
type Info struct {
	Capacity      int64 // whole blocks
	BlockSize     int   // logical: offsets and lengths are multiples of it
	PhysicalBlock int   // below it, a write makes the device read first
	MinIO         int64 // smallest access that suits the device
	OptimalIO     int64 // access that suits it best
	ReadOnly      bool
	WriteCache    bool // completed writes may be lost without a flush
	Legacy        bool
	Geometry      Geometry

	// Limits of one part of a request: larger ones are split.
	MaxSegments int // physically contiguous pieces; if it is 1, no block may cross a page
	MaxSegment  int // size of one
	MaxBytes    int

	Discard     RangeLimits
	WriteZeroes RangeLimits
	Unmap       bool // Request.Unmap has an effect

	Queues    int  // for requests of any CPU
	Reserved  bool // there is one more: see Options.Reserve
	QueueSize int  // parts that fit in each at most
}

// Geometry is that of a disk of old; nothing depends on it.
type Geometry struct{ Cylinders, Heads, Sectors int }

// RangeLimits tells of an operation on a range without data.
type RangeLimits struct {
	MaxBytes  int64 // of one part; 0: the device cannot do it
	Alignment int64 // of ranges that suit the device
}

// config is the device's configuration as it was read, unchecked. Fields
// without their feature have the value that stands for it.
type config struct {
	features         uint64
	capacity         uint64
	sizeMax, segMax  uint32
	geometry         Geometry
	blockSize        uint32
	physicalExp      uint8
	minIO            uint16
	optIO            uint32
	queues           int
	maxDiscard       uint32
	discardAlignment uint32
	maxZeroes        uint32
	mayUnmap         bool
}

func (c *config) has(f uint64) bool { return c.features&f != 0 }

func readConfig(t virtio.Transport, features uint64) (config, error) {
	var c config
	err := virtio.ReadConfig(t, func(r virtio.Registers) {
		// Without SEG_MAX a device need not take more than one segment:
		// Firecracker's does not.
		c = config{features: features, sizeMax: math.MaxUint32, segMax: 1, blockSize: sectorSize, queues: 1}
		c.read(r)
	})
	if err == nil && c.queues == 0 {
		err = ErrNumQueues
	}
	return c, err
}

func (c *config) read(r virtio.Registers) {
	c.capacity = read64(r, configCapacity)
	if c.has(FeatureSizeMax) {
		c.sizeMax = r.Read32(configSizeMax)
	}
	if c.has(FeatureSegMax) {
		c.segMax = r.Read32(configSegMax)
	}
	if c.has(FeatureGeometry) {
		c.geometry = Geometry{int(r.Read16(configCylinders)), int(r.Read8(configHeads)), int(r.Read8(configSectors))}
	}
	if c.has(FeatureBlockSize) {
		c.blockSize = r.Read32(configBlockSize)
	}
	if c.has(FeatureTopology) {
		c.physicalExp = r.Read8(configPhysicalExp)
		c.minIO = r.Read16(configMinIO)
		c.optIO = r.Read32(configOptIO)
	}
	if c.has(FeatureMultiQueue) {
		c.queues = int(r.Read16(configNumQueues))
	}
	if c.has(FeatureDiscard) {
		c.maxDiscard = r.Read32(configMaxDiscard)
		c.discardAlignment = r.Read32(configDiscardAlignment)
	}
	if c.has(FeatureWriteZeroes) {
		c.maxZeroes = r.Read32(configMaxZeroes)
		c.mayUnmap = r.Read8(configMayUnmap) != 0
	}
}

// info checks the configuration and says what it means for a queue of size
// entries, whose chains can have maxData segments of data.
func (c *config) info(size, maxData int) (Info, error) {
	block := int64(c.blockSize)
	capacity, err := capacityBytes(c.capacity, c.blockSize)
	switch {
	case !validBlockSize(c.blockSize):
		return Info{}, ErrBlockSize
	case err != nil:
		return Info{}, err
	case c.sizeMax < sectorSize:
		return Info{}, ErrSizeMax
	case c.segMax == 0:
		return Info{}, ErrSegMax
	case c.physicalExp > 30 || block<<c.physicalExp > maxPhysicalBlock:
		return Info{}, ErrPhysicalExp
	}
	info := Info{
		Capacity:      capacity,
		BlockSize:     int(block),
		PhysicalBlock: int(block << c.physicalExp),
		MinIO:         int64(c.minIO) * block,
		OptimalIO:     int64(c.optIO) * block,
		ReadOnly:      c.has(FeatureReadOnly),
		WriteCache:    c.has(FeatureFlush),
		Geometry:      c.geometry,
		MaxSegments:   int(min(uint64(c.segMax), uint64(maxData))),
		MaxSegment:    int(min(c.sizeMax, maxBytes)),
		Unmap:         c.mayUnmap,
		QueueSize:     size,
	}
	info.MaxBytes = int(min(int64(info.MaxSegments)*int64(info.MaxSegment), maxBytes) &^ (block - 1))
	if info.MaxBytes == 0 {
		return Info{}, ErrSegments
	}
	if c.has(FeatureDiscard) {
		info.Discard.MaxBytes = rangeMax(c.maxDiscard, block)
		if a := int64(c.discardAlignment) * sectorSize; a%block == 0 {
			info.Discard.Alignment = a
		}
		if info.Discard.MaxBytes == 0 {
			return Info{}, ErrMaxDiscard
		}
	}
	if c.has(FeatureWriteZeroes) {
		info.WriteZeroes = RangeLimits{MaxBytes: rangeMax(c.maxZeroes, block)}
		if info.WriteZeroes.MaxBytes == 0 {
			return Info{}, ErrMaxZeroes
		}
	}
	return info, nil
}

// rangeMax returns a limit of sectors in bytes of whole blocks. There are
// devices that mean no limit by 0, as Linux takes it; the request has 32 bits
// for it in any case.
func rangeMax(sectors uint32, block int64) int64 {
	if sectors == 0 {
		sectors = math.MaxUint32
	}
	return int64(sectors) * sectorSize &^ (block - 1)
}

func validBlockSize(n uint32) bool { return n >= sectorSize && n <= maxBlockSize && n&(n-1) == 0 }

// capacityBytes returns the size of a device in bytes of whole blocks.
func capacityBytes(sectors uint64, block uint32) (int64, error) {
	if sectors > math.MaxInt64/sectorSize {
		return 0, ErrCapacity
	}
	return int64(sectors) * sectorSize &^ (int64(block) - 1), nil
}

// readCapacity reads the capacity of a device whose block size was checked.
func readCapacity(t virtio.Transport, block int) (int64, error) {
	var sectors uint64
	if err := virtio.ReadConfig(t, func(r virtio.Registers) { sectors = read64(r, configCapacity) }); err != nil {
		return 0, err
	}
	return capacityBytes(sectors, uint32(block))
}

// read64 reads a field of 64 bits in two halves. A legacy device has no
// generation to tell that it changed between them, so the upper one is read
// again (§2.5.4); one that changes all the time is not worth waiting for.
func read64(r virtio.Registers, off uintptr) uint64 {
	const tries = 16
	hi := r.Read32(off + 4)
	for range tries {
		lo := r.Read32(off)
		again := r.Read32(off + 4)
		if again == hi {
			return uint64(hi)<<32 | uint64(lo)
		}
		hi = again
	}
	return uint64(hi) << 32
}
