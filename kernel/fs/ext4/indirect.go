package ext4

import "syscall"

// Files of ext2 and ext3 have a block map: the inode has twelve block numbers, then one
// indirect, one double indirect and one triple indirect block (ext4 docs: "Direct/Indirect
// Block Addressing"). Such files are read, overwritten and freed as they are; another
// change first converts the map to an extent tree (convert.go).
const directBlocks = 12

// indirectPath returns the slots that lead to block l: the slot of the inode and then one
// per level.
func (fs *FS) indirectPath(l uint64) (path [4]int, levels int, ok bool) {
	if l < directBlocks {
		path[0] = int(l)
		return path, 0, true
	}
	l -= directBlocks
	per := uint64(fs.blockSize / 4)
	bits := fs.blockBits - 2
	for span := per; levels < 3; span *= per {
		levels++
		if l < span {
			path[0] = directBlocks + levels - 1
			for k := levels; k > 0; k-- {
				path[k] = int(l & (per - 1))
				l >>= bits
			}
			return path, levels, true
		}
		l -= span
	}
	return path, 0, false
}

// lookupIndirect is lookup for a block map. With scattered, a run continues even where its
// blocks are not contiguous on the disk.
//
// In a damaged map all slots may lead to the same few blocks, so that it seems to have
// 10^9 of them. So a hole, or a scattered run, extends to the end of the indirect block
// that it was found in: a walk over the whole map takes 10^6 steps at most.
func (i *Inode) lookupIndirect(l, n uint64, scattered bool) (mapping, syscall.Errno) {
	fs := i.fs
	path, levels, ok := fs.indirectPath(l)
	if !ok {
		return mapping{logical: l, n: n}, 0
	}
	slots := i.block[:4*directBlocks]
	if levels > 0 {
		slots = i.block[:]
	}
	per := uint64(fs.blockSize / 4)
	for k := 0; ; k++ {
		at := path[k]
		v := uint64(le.Uint32(slots[4*at:]))
		if v == 0 {
			covered := uint64(1)
			if k > 0 || levels == 0 { // the next slot would be of another level
				covered = emptySlots(slots, at)
			}
			for range levels - k {
				covered *= per
			}
			return mapping{logical: l, n: min(n, covered-i.below(path, k, levels))}, 0
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

// below is the offset of a path within the range that the slot at level k covers.
func (i *Inode) below(path [4]int, k, levels int) uint64 {
	off := uint64(0)
	for ; k < levels; k++ {
		off = off<<(i.fs.blockBits-2) | uint64(path[k+1])
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

// runOf collects consecutive slots whose blocks are contiguous on the disk, or anywhere
// with scattered.
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
