package ext4

import "strconv"

// Feature bits of the superblock (ext4 docs: "The Super Block").
const (
	compatHasJournal   = 0x4
	compatExtAttr      = 0x8
	compatResizeInode  = 0x10
	compatDirIndex     = 0x20
	compatSparseSuper2 = 0x200
	compatFastCommit   = 0x400
	compatOrphanFile   = 0x1000

	incompatFiletype  = 0x2
	incompatRecover   = 0x4
	incompatMetaBG    = 0x10
	incompatExtents   = 0x40
	incompat64bit     = 0x80
	incompatFlexBG    = 0x200
	incompatCsumSeed  = 0x2000
	incompatLargeDir  = 0x4000
	incompatSupported = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents |
		incompat64bit | incompatFlexBG | incompatCsumSeed | incompatLargeDir

	roSparseSuper   = 0x1
	roLargeFile     = 0x2
	roHugeFile      = 0x8
	roGdtCsum       = 0x10
	roDirNlink      = 0x20
	roExtraIsize    = 0x40
	roBigalloc      = 0x200
	roMetadataCsum  = 0x400
	roReadonly      = 0x1000
	roOrphanPresent = 0x10000
	roSupported     = roSparseSuper | roLargeFile | roHugeFile | roGdtCsum | roDirNlink | roExtraIsize |
		roMetadataCsum | roOrphanPresent
)

// incompatNames and roNames name the bits as tune2fs does.
var incompatNames = map[uint32]string{
	0x1: "compression", 0x8: "journal_dev", 0x100: "mmp", 0x400: "ea_inode", 0x1000: "dirdata",
	0x8000: "inline_data", 0x10000: "encrypt", 0x20000: "casefold",
}

var roNames = map[uint32]string{
	0x4: "btree_dir", 0x80: "has_snapshot", 0x100: "quota", 0x200: "bigalloc", 0x800: "replica",
	0x1000: "read-only", 0x2000: "project", 0x4000: "shared_blocks", 0x8000: "verity",
}

// featureNames lists the set bits by name, unnamed ones as hexadecimal numbers.
func featureNames(bits uint32, names map[uint32]string) string {
	s := ""
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if bits&bit == 0 {
			continue
		}
		name := names[bit]
		if name == "" {
			name = "0x" + strconv.FormatUint(uint64(bit), 16)
		}
		if s != "" {
			s += ", "
		}
		s += name
	}
	return s
}
