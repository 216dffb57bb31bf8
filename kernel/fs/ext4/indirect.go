package ext4

import "syscall"

// Files of ext2 and ext3 have a map: twelve block numbers in the inode, then one
// each of a block, of a tree of two and of a tree of three levels (ext4 docs:
// "Direct/Indirect Block Addressing"). They are read, overwritten, and freed;
// a change of the map first makes it an extent tree (convert.go).
const directBlocks = 12

// indirectWay says through which slots block l is reached: the slot of the inode
// and then one per level.
func (fs *FS) indirectWay(l uint64) (way [4]int, levels int, ok bool) {
	if l < directBlocks {
		way[0] = int(l)
		return way, 0, true
	}
	l -= directBlocks
	per := uint64(fs.blockSize / 4)
	bits := fs.blockBits - 2
	for span := per; levels < 3; span *= per {
		levels++
		if l < span {
			way[0] = directBlocks + levels - 1
			for k := levels; k > 0; k-- {
				way[k] = int(l & (per - 1))
				l >>= bits
			}
			return way, levels, true
		}
		l -= span
	}
	return way, 0, false
}

// lookupIndirect is lookup for a map of blocks. With scattered a piece goes on also
// where its blocks do not lie behind each other on the disk.
//
// A damaged map may lead from all its slots to the same few blocks, and then seems to
// have 10^9 of them. So a hole, and a scattered piece, goes on to the end of the map's
// block that it is found in: a walk through all takes 10^6 steps at most.
func (i *Inode) lookupIndirect(l, n uint64, scattered bool) (mapping, syscall.Errno) {
	fs := i.fs
	way, levels, ok := fs.indirectWay(l)
	if !ok {
		return mapping{logical: l, n: n}, 0
	}
	slots := i.block[:4*directBlocks]
	if levels > 0 {
		slots = i.block[:]
	}
	per := uint64(fs.blockSize / 4)
	for k := 0; ; k++ {
		at := way[k]
		v := uint64(le.Uint32(slots[4*at:]))
		if v == 0 {
			covered := uint64(1)
			if k > 0 || levels == 0 { // otherwise the next slot is of another level
				covered = emptySlots(slots, at)
			}
			for range levels - k {
				covered *= per
			}
			return mapping{logical: l, n: min(n, covered-i.below(way, k, levels))}, 0
		}
		if !fs.usable(v, 1) {
			return mapping{}, fs.corrupt("block map of inode", uint64(i.ino))
		}
		if k == levels {
			return i.runOf(slots, at, l, n, scattered), 0
		}
		b, e := fs.j.Get(v)
		if e != 0 {
			return mapping{}, e
		}
		defer b.Put()
		slots = b.Data
	}
}

// below is how far a way goes into what the slot at level k covers.
func (i *Inode) below(way [4]int, k, levels int) uint64 {
	off := uint64(0)
	for ; k < levels; k++ {
		off = off<<(i.fs.blockBits-2) | uint64(way[k+1])
	}
	return off
}

// emptySlots counts the empty slots from one on.
func emptySlots(slots []byte, at int) (n uint64) {
	for k := 4 * at; k < len(slots) && le.Uint32(slots[k:]) == 0; k += 4 {
		n++
	}
	return n
}

// runOf collects neighbours that lie behind each other on the disk, or anywhere.
func (i *Inode) runOf(slots []byte, at int, l, n uint64, scattered bool) mapping {
	m := mapping{logical: l, phys: uint64(le.Uint32(slots[4*at:])), n: 1}
	for k := at + 1; m.n < n && 4*k+4 <= len(slots); k++ {
		v := uint64(le.Uint32(slots[4*k:]))
		if v == 0 || !scattered && (v != m.phys+m.n || !i.fs.usable(v, 1)) {
			break
		}
		m.n++
	}
	return m
}
