package ext4

import (
	"encoding/binary"
	"strconv"
)

var le = binary.LittleEndian

const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53

	stateValid  = 1 // unmounted cleanly
	stateErrors = 2

	rootIno    = 2
	journalIno = 8
)

// These are offsets in the superblock (ext4 docs: "The Super Block").
const (
	sInodes          = 0x0
	sBlocksLo        = 0x4
	sReservedLo      = 0x8
	sFreeBlocksLo    = 0xc
	sFreeInodes      = 0x10
	sFirstDataBlock  = 0x14
	sLogBlockSize    = 0x18
	sLogClusterSize  = 0x1c
	sBlocksPerGroup  = 0x20
	sClustersPerGrp  = 0x24
	sInodesPerGroup  = 0x28
	sMountTime       = 0x2c
	sWriteTime       = 0x30
	sMountCount      = 0x34
	sMaxMountCount   = 0x36
	sMagic           = 0x38
	sState           = 0x3a
	sErrors          = 0x3c
	sLastCheck       = 0x40
	sRevision        = 0x4c
	sFirstIno        = 0x54
	sInodeSize       = 0x58
	sBlockGroup      = 0x5a
	sCompat          = 0x5c
	sIncompat        = 0x60
	sRoCompat        = 0x64
	sUUID            = 0x68
	sVolumeName      = 0x78
	sReservedGdt     = 0xce
	sJournalInum     = 0xe0
	sLastOrphan      = 0xe8
	sHashSeed        = 0xec
	sHashVersion     = 0xfc
	sJournalBackup   = 0xfd
	sDescSize        = 0xfe
	sDefaultMount    = 0x100
	sFirstMetaBG     = 0x104
	sMkfsTime        = 0x108
	sJournalBlocks   = 0x10c
	sBlocksHi        = 0x150
	sReservedHi      = 0x154
	sFreeBlocksHi    = 0x158
	sMinExtraIsize   = 0x15c
	sWantExtraIsize  = 0x15e
	sFlags           = 0x160
	sLogGroupsFlex   = 0x174
	sChecksumType    = 0x175
	sKbytesWritten   = 0x178
	sErrorCount      = 0x194
	sOverhead        = 0x248
	sBackupBGs       = 0x24c
	sChecksumSeed    = 0x270
	sWriteTimeHi     = 0x274
	sMountTimeHi     = 0x275
	sOrphanFileInum  = 0x280
	sChecksum        = 0x3fc
	flagUnsignedHash = 2
)

// mountError is the reason why a disk is refused, with advice.
type mountError string

func (e mountError) Error() string { return "ext4: " + string(e) }

// geometry are the parameters in the superblock that do not change while the file system is
// mounted.
type geometry struct {
	compat, incompat, ro uint32

	blockSize     int
	blockBits     uint
	clusterBits   uint // bigalloc: log2 of the blocks per bit
	blocks        uint64
	firstData     uint64 // 1 with blocks of 1024 bytes, otherwise 0
	reserved      uint64 // blocks that are reserved for the superuser
	blocksPer     uint32 // blocks per group
	inodesPer     uint32
	inodes        uint32
	groups        uint32
	inodeSize     int
	firstIno      uint32
	descSize      int
	descsPer      uint32 // descriptors per block
	descBlocks    uint32
	reservedGdt   uint32
	firstMetaBG   uint32
	backupGroups  [2]uint32
	torn          bool // the superblock's checksum is wrong
	itableBlocks  uint32
	wantExtra     int
	uuid          [16]byte
	label         string
	seed          uint32 // seed of checksums
	hashSeed      [4]uint32
	hashVersion   uint8
	hashUnsigned  uint8 // 3, which is added to a hash version, or 0
	journalInode  uint32
	orphanFile    uint32
	metaCsum      bool
	descCsum      bool // descriptors have checksums and flags for uninitialised parts
	inodeExtraMax int
}

func (g *geometry) has(compat uint32) bool       { return g.compat&compat != 0 }
func (g *geometry) hasIncompat(bits uint32) bool { return g.incompat&bits != 0 }
func (g *geometry) hasRO(bits uint32) bool       { return g.ro&bits != 0 }
func (g *geometry) groupStart(n uint32) uint64   { return g.firstData + uint64(n)*uint64(g.blocksPer) }
func (g *geometry) groupOf(block uint64) uint32 {
	return uint32((block - g.firstData) / uint64(g.blocksPer))
}
func (g *geometry) bitOf(block uint64) uint32 {
	return uint32((block - g.firstData) % uint64(g.blocksPer))
}
func (g *geometry) blockBytes(block uint64) int64 { return int64(block) << g.blockBits }

// groupBlocks is the number of blocks of group n: the last group may have fewer.
func (g *geometry) groupBlocks(n uint32) uint32 {
	left := g.blocks - g.groupStart(n)
	return uint32(min(left, uint64(g.blocksPer)))
}

// parseSuper checks the superblock of a device of size bytes.
func parseSuper(sb []byte, size int64) (*geometry, error) {
	if le.Uint16(sb[sMagic:]) != superMagic {
		return nil, mountError("no ext4 superblock; make one with mkfs.ext4")
	}
	g := &geometry{}
	if le.Uint32(sb[sRevision:]) > 1 {
		return nil, mountError("superblock revision " + strconv.Itoa(int(le.Uint32(sb[sRevision:]))) + " is unknown")
	}
	if le.Uint32(sb[sRevision:]) == 1 {
		g.compat, g.incompat, g.ro = le.Uint32(sb[sCompat:]), le.Uint32(sb[sIncompat:]), le.Uint32(sb[sRoCompat:])
	}
	g.metaCsum = g.hasRO(roMetadataCsum)
	g.descCsum = g.metaCsum || g.hasRO(roGdtCsum)
	if g.metaCsum {
		if sb[sChecksumType] != 1 {
			return nil, mountError("checksum type " + strconv.Itoa(int(sb[sChecksumType])) + " is unknown")
		}
		if crc32c(^uint32(0), sb[:sChecksum]) != le.Uint32(sb[sChecksum:]) {
			g.torn = true
		}
	}
	if bad := g.incompat &^ incompatSupported; bad != 0 {
		return nil, mountError("feature " + featureNames(bad, incompatNames) + " is not supported; make the file system without it (mkfs.ext4 -O ^name)")
	}
	if err := g.parseSizes(sb, size); err != nil {
		return nil, err
	}
	return g, g.parseRest(sb)
}

// parseSizes reads and checks the numbers from which everything else is computed.
func (g *geometry) parseSizes(sb []byte, size int64) error {
	log := le.Uint32(sb[sLogBlockSize:])
	if log > 2 {
		return mountError("block size is not 1024, 2048 or 4096")
	}
	g.blockBits = 10 + uint(log)
	g.blockSize = 1 << g.blockBits
	if cluster := le.Uint32(sb[sLogClusterSize:]); g.hasRO(roBigalloc) && cluster > log && cluster-log <= 16 {
		g.clusterBits = uint(cluster - log)
	}
	g.blocks = uint64(le.Uint32(sb[sBlocksLo:]))
	g.reserved = uint64(le.Uint32(sb[sReservedLo:]))
	if g.hasIncompat(incompat64bit) {
		g.blocks |= uint64(le.Uint32(sb[sBlocksHi:])) << 32
		g.reserved |= uint64(le.Uint32(sb[sReservedHi:])) << 32
	}
	g.firstData = uint64(le.Uint32(sb[sFirstDataBlock:]))
	g.blocksPer = le.Uint32(sb[sBlocksPerGroup:])
	g.inodesPer = le.Uint32(sb[sInodesPerGroup:])
	g.inodes = le.Uint32(sb[sInodes:])
	switch {
	case g.blocks > uint64(size)>>g.blockBits:
		return mountError("the file system has " + strconv.FormatUint(g.blocks, 10) + " blocks of " + strconv.Itoa(g.blockSize) + " bytes, the device has " + strconv.FormatInt(size, 10) + " bytes")
	case g.firstData > 1 || (g.firstData == 1) != (g.blockSize == 1024) && g.firstData != 0:
		return mountError("first data block is wrong; run e2fsck")
	case g.blocks <= g.firstData+8:
		return mountError("superblock: too few blocks; run e2fsck")
	case g.blocksPer < 256 || // mke2fs makes none smaller
		g.blocksPer > uint32(8*g.blockSize)<<g.clusterBits || g.blocksPer%8 != 0:
		return mountError("superblock: blocks per group are wrong; run e2fsck")
	}
	if g.reserved > g.blocks/2 {
		g.reserved = 0
	}
	groups := (g.blocks - g.firstData + uint64(g.blocksPer) - 1) / uint64(g.blocksPer)
	if groups > 1<<22 {
		return mountError("superblock: more than 4 million groups")
	}
	g.groups = uint32(groups)
	return g.parseInodes(sb)
}

func (g *geometry) parseInodes(sb []byte) error {
	g.inodeSize, g.firstIno = 128, 11
	if le.Uint32(sb[sRevision:]) == 1 {
		g.inodeSize = int(le.Uint16(sb[sInodeSize:]))
		g.firstIno = le.Uint32(sb[sFirstIno:])
	}
	if g.inodeSize < 128 || g.inodeSize > g.blockSize || g.inodeSize&(g.inodeSize-1) != 0 {
		return mountError("inode size " + strconv.Itoa(g.inodeSize) + " is wrong; run e2fsck")
	}
	per := uint32(g.blockSize / g.inodeSize)
	if g.inodesPer < per || g.inodesPer > uint32(8*g.blockSize) || g.inodesPer%8 != 0 ||
		uint64(g.inodesPer)*uint64(g.groups) != uint64(g.inodes) || g.firstIno < 11 || g.firstIno > g.inodes {
		return mountError("superblock: number of inodes is wrong; run e2fsck")
	}
	g.itableBlocks = (g.inodesPer + per - 1) / per
	if g.inodeSize > 128 {
		g.inodeExtraMax = g.inodeSize - 128
		g.wantExtra = min(32, g.inodeExtraMax)
	}
	return nil
}

func (g *geometry) parseRest(sb []byte) error {
	g.descSize = 32
	if g.hasIncompat(incompat64bit) {
		g.descSize = int(le.Uint16(sb[sDescSize:]))
		if g.descSize < 64 || g.descSize > 1024 || g.descSize&(g.descSize-1) != 0 {
			return mountError("superblock: size of group descriptors is wrong; run e2fsck")
		}
	}
	g.descsPer = uint32(g.blockSize / g.descSize)
	g.descBlocks = (g.groups + g.descsPer - 1) / g.descsPer
	g.firstMetaBG = le.Uint32(sb[sFirstMetaBG:])
	if g.hasIncompat(incompatMetaBG) && g.firstMetaBG > g.descBlocks {
		return mountError("superblock: first meta group is wrong; run e2fsck")
	}
	if g.has(compatResizeInode) {
		g.reservedGdt = uint32(le.Uint16(sb[sReservedGdt:]))
	}
	if g.reservedGdt > uint32(g.blockSize/4) {
		return mountError("superblock: too many reserved descriptor blocks; run e2fsck")
	}
	g.backupGroups = [2]uint32{le.Uint32(sb[sBackupBGs:]), le.Uint32(sb[sBackupBGs+4:])}
	copy(g.uuid[:], sb[sUUID:])
	for k := range 16 {
		if sb[sVolumeName+k] == 0 {
			break
		}
		g.label += string(rune(sb[sVolumeName+k]))
	}
	g.seed = crc32c(^uint32(0), g.uuid[:])
	if g.hasIncompat(incompatCsumSeed) {
		g.seed = le.Uint32(sb[sChecksumSeed:])
	}
	for k := range g.hashSeed {
		g.hashSeed[k] = le.Uint32(sb[sHashSeed+4*k:])
	}
	g.hashVersion = sb[sHashVersion]
	if le.Uint32(sb[sFlags:])&flagUnsignedHash != 0 {
		g.hashUnsigned = 3
	}
	g.journalInode = le.Uint32(sb[sJournalInum:])
	if g.has(compatOrphanFile) {
		g.orphanFile = le.Uint32(sb[sOrphanFileInum:])
	}
	return nil
}

// differs names a field that differs between the superblocks before and after the replay
// though it never changes while a file system is in use, or returns "". The journal was
// found and its cache made with the old superblock. An online resize by Linux, left in the
// journal by a crash, is refused, too.
func (g *geometry) differs(old *geometry) string {
	const (
		compat = compatHasJournal | compatResizeInode | compatSparseSuper2 | compatOrphanFile
		// Linux sets these when the first file needs them.
		ro = roLargeFile | roDirNlink | roExtraIsize | roOrphanPresent
	)
	for _, f := range [...]struct {
		name     string
		new, old uint64
	}{
		{"set of incompat features", uint64(g.incompat &^ incompatRecover), uint64(old.incompat &^ incompatRecover)},
		{"set of ro_compat features", uint64(g.ro &^ ro), uint64(old.ro &^ ro)},
		{"set of compat features", uint64(g.compat & compat), uint64(old.compat & compat)},
		{"block size", uint64(g.blockBits), uint64(old.blockBits)},
		{"cluster size", uint64(g.clusterBits), uint64(old.clusterBits)},
		{"number of blocks", g.blocks, old.blocks},
		{"first data block", g.firstData, old.firstData},
		{"number of blocks per group", uint64(g.blocksPer), uint64(old.blocksPer)},
		{"number of inodes per group", uint64(g.inodesPer), uint64(old.inodesPer)},
		{"number of inodes", uint64(g.inodes), uint64(old.inodes)},
		{"inode size", uint64(g.inodeSize), uint64(old.inodeSize)},
		{"first inode", uint64(g.firstIno), uint64(old.firstIno)},
		{"size of group descriptors", uint64(g.descSize), uint64(old.descSize)},
		{"number of reserved descriptor blocks", uint64(g.reservedGdt), uint64(old.reservedGdt)},
		{"first meta group", uint64(g.firstMetaBG), uint64(old.firstMetaBG)},
		{"first backup group", uint64(g.backupGroups[0]), uint64(old.backupGroups[0])},
		{"second backup group", uint64(g.backupGroups[1]), uint64(old.backupGroups[1])},
		{"journal inode", uint64(g.journalInode), uint64(old.journalInode)},
		{"orphan file", uint64(g.orphanFile), uint64(old.orphanFile)},
	} {
		if f.new != f.old {
			return f.name
		}
	}
	return ""
}

func sealSuper(g *geometry, sb []byte) {
	if g.metaCsum {
		le.PutUint32(sb[sChecksum:], crc32c(^uint32(0), sb[:sChecksum]))
	}
}

// hasSuper reports whether group n starts with a copy of the superblock.
func (g *geometry) hasSuper(n uint32) bool {
	switch {
	case n == 0:
		return true
	case g.has(compatSparseSuper2):
		return n == g.backupGroups[0] || n == g.backupGroups[1]
	case n == 1 || !g.hasRO(roSparseSuper):
		return true
	}
	return n&1 == 1 && (isPower(n, 3) || isPower(n, 5) || isPower(n, 7))
}

func isPower(n, base uint32) bool {
	for n > 1 && n%base == 0 {
		n /= base
	}
	return n == 1
}

// descBlock is the number of the block with block k of the group descriptors.
func (g *geometry) descBlock(k uint32) uint64 {
	if !g.hasIncompat(incompatMetaBG) || k < g.firstMetaBG {
		return superOffset>>g.blockBits + 1 + uint64(k)
	}
	n := k * g.descsPer
	start := g.groupStart(n)
	if g.hasSuper(n) {
		start++
	}
	if g.blockSize == 1024 && n == 0 && g.firstData == 0 {
		start++
	}
	return start
}

// baseMeta is how many blocks at the start of group n hold copies of the
// superblock and of descriptors (ext4_num_base_meta_clusters).
func (g *geometry) baseMeta(n uint32) uint32 {
	count := uint32(0)
	if g.hasSuper(n) {
		count = 1
	}
	if n == 0 && g.firstData == 0 && g.blockSize == 1024 {
		count++ // bigalloc counts from block 0, the superblock is in block 1
	}
	if !g.hasIncompat(incompatMetaBG) || n/g.descsPer < g.firstMetaBG {
		if count > 0 {
			gdt := g.descBlocks
			if g.hasIncompat(incompatMetaBG) {
				gdt = g.firstMetaBG
			}
			count += gdt + g.reservedGdt
		}
		return count
	}
	switch n % g.descsPer {
	case 0, 1, g.descsPer - 1:
		count++
	}
	return count
}
