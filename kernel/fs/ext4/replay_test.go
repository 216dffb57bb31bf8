package ext4

import (
	"strings"
	"testing"
)

// The journal contains a superblock with another geometry than the one that led to the
// journal: the mount fails and says what differs.
func TestReplayedGeometry(t *testing.T) {
	put32 := func(off int, v uint32) func([]byte) { return func(sb []byte) { le.PutUint32(sb[off:], v) } }
	flip := func(off int, bits uint32) func([]byte) {
		return func(sb []byte) { le.PutUint32(sb[off:], le.Uint32(sb[off:])^bits) }
	}
	for want, change := range map[string]func([]byte){
		"block size": func(sb []byte) {
			le.PutUint32(sb[sLogBlockSize:], 2)
			le.PutUint32(sb[sFirstDataBlock:], 0)
			le.PutUint32(sb[sBlocksLo:], 4096)
			le.PutUint32(sb[sInodes:], le.Uint32(sb[sInodesPerGroup:]))
		},
		"number of blocks": func(sb []byte) { le.PutUint32(sb[sBlocksLo:], le.Uint32(sb[sBlocksLo:])-2000) },
		"first data block": put32(sFirstDataBlock, 0),
		"blocks per group": func(sb []byte) {
			put32(sBlocksPerGroup, 4096)(sb)
			put32(sInodes, 4*le.Uint32(sb[sInodesPerGroup:]))(sb)
		},
		"inodes per group":           func(sb []byte) { put32(sInodes, 2048)(sb); put32(sInodesPerGroup, 1024)(sb) },
		"inode size":                 func(sb []byte) { le.PutUint16(sb[sInodeSize:], 512) },
		"first inode":                put32(sFirstIno, 20),
		"size of group descriptors":  func(sb []byte) { le.PutUint16(sb[sDescSize:], 128) },
		"reserved descriptor blocks": func(sb []byte) { le.PutUint16(sb[sReservedGdt:], 3) },
		"first backup group":         put32(sBackupBGs, 1),
		"journal inode":              put32(sJournalInum, 9),
		"orphan file":                put32(sOrphanFileInum, 13),
		"set of compat features":     flip(sCompat, compatSparseSuper2),
		"incompat features":          flip(sIncompat, incompatFlexBG),
		"ro_compat features":         flip(sRoCompat, roGdtCsum),
	} {
		disk := load(t, mkfs(t, "16M", "-b", "1024", "-O", "orphan_file,^metadata_csum"))
		f := mount(t, disk, Options{})
		o, e := f.begin(1, 0)
		ok(t, e)
		o.changeSuper(change)
		ok(t, o.end(0))
		ok(t, f.j.CommitAll())
		crashed := disk.Clone()
		if _, err := parseSuper(crashed.Bytes()[1024:2048], crashed.Size()); err != nil {
			t.Fatal("the superblock is at its place already: ", err)
		}
		g, err := Mount(crashed, Options{})
		if err == nil {
			t.Errorf("%s: mounted", want)
			unmount(t, g)
			continue
		}
		t.Log(err)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	// A replay may change these.
	disk := load(t, mkfs(t, "16M", "-O", "orphan_file"))
	f := mount(t, disk, Options{})
	o, e := f.begin(1, 0)
	ok(t, e)
	o.changeSuper(func(sb []byte) {
		copy(sb[sVolumeName:], "label")
		flip(sCompat, compatExtAttr)(sb)
		flip(sRoCompat, roLargeFile|roDirNlink|roExtraIsize|roOrphanPresent)(sb)
		flip(sIncompat, incompatRecover)(sb)
	})
	ok(t, o.end(0))
	ok(t, f.j.CommitAll())
	f = mount(t, disk.Clone(), Options{})
	if f.label != "label" {
		t.Errorf("label %q", f.label)
	}
	unmount(t, f)
}
