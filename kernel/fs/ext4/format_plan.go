package ext4

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// plan decides where everything lies.
func (f *formatter) plan() error {
	if err := f.complete(); err != nil {
		return err
	}
	f.sb = make([]byte, superSize)
	if err := f.sizes(); err != nil {
		return err
	}
	sealSuper(&geometry{metaCsum: true}, f.sb)
	g, err := parseSuper(f.sb, f.dev.Size())
	if err != nil {
		return err
	}
	f.geometry = g
	f.descs = make([]byte, int(g.descBlocks)*g.blockSize)
	for n := range g.groups {
		f.group = append(f.group, &group{n: n, desc: f.descs[int(n)*formatDesc:][:formatDesc:formatDesc]})
	}
	if err := f.placeTables(); err != nil {
		return err
	}
	return f.placeFiles()
}

func (f *formatter) complete() error {
	o := &f.o
	if o.BlockSize == 0 {
		o.BlockSize = 4096
	}
	size := f.dev.Size()
	switch {
	case o.BlockSize != 1024 && o.BlockSize != 2048 && o.BlockSize != 4096 || o.BlockSize < f.dev.BlockSize():
		return mountError("format: block size " + strconv.Itoa(o.BlockSize) + " is not 1024, 2048 or 4096, or smaller than the device's")
	case len(o.Label) > 16:
		return mountError("format: the label is longer than 16 bytes")
	case o.JournalBlocks != 0 && (o.JournalBlocks < 1024 || o.JournalBlocks > mostJournal):
		return mountError("format: a journal has 1024 to " + strconv.Itoa(mostJournal) + " blocks")
	case size/int64(o.BlockSize) < 2048:
		return mountError("format: the device is too small for a journal: " + strconv.FormatInt(size, 10) + " bytes")
	}
	if o.BytesPerInode == 0 {
		o.BytesPerInode = 16384
		if size < 512<<20 {
			o.BytesPerInode = 4096
		}
	}
	if o.BytesPerInode < 1024 {
		return mountError("format: an inode per less than 1024 bytes")
	}
	for _, id := range []*[16]byte{&o.UUID, &o.HashSeed} {
		if *id == [16]byte{} {
			le.PutUint64(id[:], rand.Uint64())
			le.PutUint64(id[8:], rand.Uint64())
			id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562 §5.4
		}
	}
	if o.Now == 0 {
		o.Now = time.Now().UnixNano()
	}
	return nil
}

// sizes fills in the superblock's numbers.
func (f *formatter) sizes() error {
	o, sb := &f.o, f.sb
	bs := int64(o.BlockSize)
	blocks := uint64(f.dev.Size() / bs)
	first := uint64(0)
	if bs == 1024 {
		first = 1
	}
	per := uint64(8 * bs)
	groups := (blocks - first + per - 1) / per
	inodes := uint64(o.Inodes)
	if inodes == 0 {
		inodes = uint64(f.dev.Size() / o.BytesPerInode)
	}
	inodes = min(max(inodes, 16), 1<<32-1-8*uint64(bs))
	inBlock := uint64(bs / formatInode)
	inodesPer := (inodes + groups - 1) / groups
	inodesPer = max((inodesPer+inBlock-1)/inBlock*inBlock, 16)
	inodesPer = min((inodesPer+7)/8*8, per)
	// The last group is dropped if it cannot hold the copies and some data.
	descBlocks := (groups*formatDesc + uint64(bs) - 1) / uint64(bs)
	if rest := (blocks - first) % per; rest != 0 && groups > 1 && rest < descBlocks+3+inodesPer/inBlock+50 {
		blocks -= rest
		groups--
	}
	if groups*inodesPer > 1<<32-1 {
		return mountError("format: more than 4 billion inodes; ask for fewer")
	}
	le.PutUint32(sb[sInodes:], uint32(groups*inodesPer))
	le.PutUint32(sb[sBlocksLo:], uint32(blocks))
	le.PutUint32(sb[sBlocksHi:], uint32(blocks>>32))
	le.PutUint32(sb[sReservedLo:], uint32(blocks/20))
	le.PutUint32(sb[sReservedHi:], uint32(blocks/20>>32))
	le.PutUint32(sb[sFirstDataBlock:], uint32(first))
	log := uint32(0)
	for 1024<<log < bs {
		log++
	}
	le.PutUint32(sb[sLogBlockSize:], log)
	le.PutUint32(sb[sLogClusterSize:], log)
	le.PutUint32(sb[sBlocksPerGroup:], uint32(per))
	le.PutUint32(sb[sClustersPerGrp:], uint32(per))
	le.PutUint32(sb[sInodesPerGroup:], uint32(inodesPer))
	f.identity()
	return nil
}

// identity fills in the rest of the superblock.
func (f *formatter) identity() {
	o, sb := &f.o, f.sb
	now := o.Now / 1e9
	le.PutUint32(sb[sWriteTime:], uint32(now))
	le.PutUint32(sb[sLastCheck:], uint32(now))
	le.PutUint32(sb[sMkfsTime:], uint32(now))
	sb[sWriteTimeHi] = byte(now >> 32)
	le.PutUint16(sb[sMaxMountCount:], 0xffff)
	le.PutUint16(sb[sMagic:], superMagic)
	le.PutUint16(sb[sState:], stateValid)
	le.PutUint16(sb[sErrors:], 1) // continue
	le.PutUint32(sb[sRevision:], 1)
	le.PutUint32(sb[sFirstIno:], lostFoundIno)
	le.PutUint16(sb[sInodeSize:], formatInode)
	le.PutUint32(sb[sCompat:], formatCompat)
	le.PutUint32(sb[sIncompat:], formatIncompat)
	le.PutUint32(sb[sRoCompat:], formatRO)
	copy(sb[sUUID:], o.UUID[:])
	copy(sb[sVolumeName:sVolumeName+16], o.Label)
	le.PutUint32(sb[sJournalInum:], journalIno)
	copy(sb[sHashSeed:], o.HashSeed[:])
	sb[sHashVersion] = hashHalfMD4
	sb[sJournalBackup] = 1
	le.PutUint16(sb[sDescSize:], formatDesc)
	le.PutUint32(sb[sDefaultMount:], 0xc) // user_xattr, acl
	le.PutUint16(sb[sMinExtraIsize:], 32)
	le.PutUint16(sb[sWantExtraIsize:], 32)
	le.PutUint32(sb[sFlags:], 1) // signed characters in hashes
	sb[sLogGroupsFlex] = formatFlex
	sb[sChecksumType] = 1
}

// placeTables puts the bitmaps and inode tables of each 16 groups together, at the start
// of the first of these groups.
func (f *formatter) placeTables() error {
	var base []span
	for n := range f.groups {
		if m := f.baseMeta(n); m > 0 {
			base = append(base, span{f.groupStart(n), uint64(m)})
		}
	}
	f.setSystem(base)
	const flex = 1 << formatFlex
	for first := uint32(0); first < f.groups; first += flex {
		at := f.groupStart(first)
		last := min(first+flex, f.groups)
		for _, t := range []struct {
			lo, hi int
			n      uint64
		}{{dBlockBitmap, dBlockBitmapHi, 1}, {dInodeBitmap, dInodeBitmapHi, 1}, {dInodeTable, dInodeTableHi, uint64(f.itableBlocks)}} {
			for n := first; n < last; n++ {
				for !f.usable(at, t.n) {
					if at++; at+t.n > f.blocks {
						return mountError("format: the tables do not fit; ask for fewer inodes or take a larger device")
					}
				}
				d := f.group[n].desc
				le.PutUint32(d[t.lo:], uint32(at))
				le.PutUint32(d[t.hi:], uint32(at>>32))
				at += t.n
			}
		}
	}
	f.findSystem()
	return nil
}

// placeFiles chooses where the journal and the first directories lie.
func (f *formatter) placeFiles() error {
	want := uint64(f.o.JournalBlocks)
	if want == 0 {
		want = journalSize(f.blocks)
	}
	f.lostN = uint64(max(1, lostFound/f.blockSize))
	dirs := f.freeRun(f.firstData+1, 1+f.lostN)
	if dirs == 0 {
		return mountError("format: the device is too small")
	}
	f.root, f.lost = dirs, dirs+1
	f.used = append(f.used, span{dirs, 1 + f.lostN})
	from := f.groupStart(f.groups / 2)
	if f.groups < 4 {
		from = dirs + 1 + f.lostN
	}
	for want > 0 {
		n := min(want, maxExtent)
		at := f.freeRun(from, n)
		for at == 0 && n > 64 {
			n /= 2
			at = f.freeRun(f.firstData+1, n)
		}
		if at == 0 || len(f.journal) == rootExtents {
			return mountError("format: the journal does not fit; ask for a smaller one")
		}
		f.journal = append(f.journal, span{at, n})
		f.used = append(f.used, span{at, n})
		from, want = at+n, want-n
	}
	return nil
}

// journalSize is ext2fs_default_journal_size, in blocks, up to 131072.
func journalSize(blocks uint64) uint64 {
	for _, s := range []struct{ below, size uint64 }{
		{32768, 1024}, {256 << 10, 4096}, {512 << 10, 8192}, {4 << 20, 16384}, {8 << 20, 32768}, {16 << 20, 65536},
	} {
		if blocks < s.below {
			return s.size
		}
	}
	return mostJournal
}

// freeRun finds n free blocks from block from on, or else from the start; 0: none.
func (f *formatter) freeRun(from, n uint64) uint64 {
	for _, at := range []uint64{from, f.firstData + 1} {
		for at+n <= f.blocks {
			next := f.blocked(at, n)
			if next == 0 {
				return at
			}
			at = next
		}
	}
	return 0
}

// blocked returns the end of an allocation within a range, 0 if there is none.
func (f *formatter) blocked(at, n uint64) uint64 {
	for _, list := range [][]span{f.system, f.used} {
		for _, s := range list {
			if s.start < at+n && at < s.start+s.n {
				return s.start + s.n
			}
		}
	}
	return 0
}
