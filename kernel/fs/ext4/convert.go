package ext4

import (
	"slices"
	"syscall"
)

// A file with a block map (ext2, ext3) is converted to an extent tree before its map
// changes in any way but by truncation. The conversion is one transaction, so the runs
// and the map's own blocks are bounded. A file with more of them (about 128 MiB with
// blocks of 4 KiB, or a very fragmented one) can be read, overwritten and truncated;
// other changes fail with EOPNOTSUPP. A copy of such a file has extents.
const (
	maxMapBlocks = 32
	maxMapRuns   = 300
)

// needExtents converts a file with a block map. Caller holds i.grow, and i.data, so that
// the file's kind cannot change. ESTALE: the file has been freed.
func (i *Inode) needExtents() syscall.Errno {
	i.mu.RLock()
	done := i.extents() && !i.freed
	i.mu.RUnlock()
	if done {
		return 0
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.toExtents()
}

// toExtents is needExtents for a caller that holds i.mu.
func (i *Inode) toExtents() syscall.Errno {
	if i.freed {
		return syscall.ESTALE
	}
	if i.extents() {
		return 0
	}
	runs, blocks, e := i.readMap()
	if e != 0 {
		return e
	}
	o, e := i.fs.begin(40+2*len(blocks), int64(insertBlocks+len(runs)/40))
	if e != 0 {
		return e
	}
	i.initExtents()
	i.blocks -= min(i.blocks, uint64(len(blocks))<<(i.fs.blockBits-9))
	o.changed = true
	for _, m := range runs {
		if e := i.insert(o, m); e != 0 {
			return o.end(e)
		}
	}
	for _, b := range blocks {
		if e := o.free(b, 1, true); e != 0 {
			return o.end(e)
		}
	}
	return o.end(i.writeData(o))
}

// readMap lists the runs of a block map and the map's own blocks. It reads the blocks
// first: if they are few, so are the runs.
func (i *Inode) readMap() (runs []mapping, blocks []uint64, e syscall.Errno) {
	for level := 1; level <= 3; level++ {
		blocks, e = i.mapBlocks(blocks, uint64(le.Uint32(i.block[4*(directBlocks+level-1):])), level)
		if e != 0 {
			return nil, nil, e
		}
	}
	end := uint64(maxLogical)
	for l := uint64(0); l < end; {
		if _, _, ok := i.fs.indirectPath(l); !ok {
			break
		}
		m, e := i.lookup(l, end-l)
		if e != 0 {
			return nil, nil, e
		}
		l += m.n
		if m.phys == 0 {
			continue
		}
		if k := len(runs) - 1; k >= 0 && mergeable(runs[k], m) {
			runs[k].n += m.n
			continue
		}
		if runs = append(runs, m); len(runs) > maxMapRuns {
			return nil, nil, syscall.EOPNOTSUPP
		}
	}
	return runs, blocks, 0
}

// mapBlocks adds a block of the map and those below it.
func (i *Inode) mapBlocks(list []uint64, block uint64, level int) ([]uint64, syscall.Errno) {
	if block == 0 {
		return list, 0
	}
	if len(list) >= maxMapBlocks {
		return nil, syscall.EOPNOTSUPP
	}
	if !i.fs.usable(block, 1) || slices.Contains(list, block) {
		return nil, i.fs.corrupt("block map of inode", uint64(i.ino))
	}
	list = append(list, block)
	if level == 1 {
		return list, 0
	}
	b, e := i.fs.j.Get(block)
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	for k := 0; k < len(b.Data); k += 4 {
		if list, e = i.mapBlocks(list, uint64(le.Uint32(b.Data[k:])), level-1); e != 0 {
			return nil, e
		}
	}
	return list, 0
}

// freeMap frees the blocks of a file with a block map from block first on, in as many
// handles as it needs.
func (i *Inode) freeMap(o *op, first uint64) syscall.Errno {
	touch := func() { o.changed = true }
	per := uint64(i.fs.blockSize / 4)
	starts := [...]uint64{0, directBlocks, directBlocks + per, directBlocks + per + per*per}
	for level := 3; level >= 0; level-- {
		slots := i.block[:4*directBlocks]
		if level > 0 {
			slots = i.block[4*(directBlocks+level-1):][:4]
		}
		if e := i.freeSlots(o, slots, touch, level, first-min(first, starts[level])); e != 0 {
			return e
		}
	}
	return 0
}

// freeSlots frees the blocks in slots, from the last slot on, and clears the slots in the
// same handle. level is the number of indirect blocks between a slot and data. The first
// keep blocks of data stay.
func (i *Inode) freeSlots(o *op, slots []byte, touch func(), level int, keep uint64) syscall.Errno {
	span := uint64(1) << (level * int(i.fs.blockBits-2)) // blocks that a slot covers
	for k := len(slots) - 4; k >= 0; k -= 4 {
		v, at := uint64(le.Uint32(slots[k:])), uint64(k/4)*span
		if at+span <= keep {
			break
		}
		if v == 0 {
			continue
		}
		n := uint64(1)
		if level > 0 {
			if e := i.freeBelow(o, v, level, keep-min(keep, at)); e != 0 {
				return e
			}
			if at < keep {
				break
			}
		} else {
			for uint64(k/4) > keep && uint64(le.Uint32(slots[k-4:]))+1 == v && v > 1 {
				k, v, n = k-4, v-1, n+1
			}
		}
		if e := i.next(o, 8); e != 0 {
			return e
		}
		if e := o.free(v, n, level > 0 || i.kind() != typeReg); e != 0 {
			return e
		}
		i.blocks -= min(i.blocks, n<<(i.fs.blockBits-9))
		touch()
		clear(slots[k : k+4*int(n)])
	}
	return 0
}

func (i *Inode) freeBelow(o *op, block uint64, level int, keep uint64) syscall.Errno {
	if !i.fs.usable(block, 1) {
		return i.fs.corrupt("block map of inode", uint64(i.ino))
	}
	b, e := i.fs.j.Get(block)
	if e != 0 {
		return e
	}
	defer b.Put()
	return i.freeSlots(o, b.Data, func() { o.dirty(b, nil) }, level-1, keep)
}
