package ext4

import (
	"cmp"
	"slices"
	"syscall"
)

// span is n blocks from start on.
type span struct{ start, n uint64 }

// findSystem lists where the file system's own tables lie, sorted and merged, so that no
// file can claim them (Linux: block_validity).
func (fs *FS) findSystem() syscall.Errno {
	list := make([]span, 0, 4*len(fs.group))
	for _, g := range fs.group {
		if n := fs.baseMeta(g.n); n > 0 {
			list = append(list, span{fs.groupStart(g.n), uint64(n)})
		}
		list = append(list, span{fs.blockBitmap(g), 1}, span{fs.inodeBitmap(g), 1}, span{fs.inodeTable(g), uint64(fs.itableBlocks)})
	}
	fs.setSystem(list)
	return 0
}

func (fs *FS) setSystem(list []span) {
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	merged := list[:0]
	for _, s := range list {
		if k := len(merged) - 1; k >= 0 && merged[k].start+merged[k].n >= s.start {
			merged[k].n = max(merged[k].n, s.start+s.n-merged[k].start)
			continue
		}
		merged = append(merged, s)
	}
	fs.system = slices.Clip(slices.Clone(merged))
}

// usable reports whether n blocks from start on may belong to a file: within the file
// system and not part of its tables.
func (fs *FS) usable(start, n uint64) bool {
	if start <= fs.firstData && start < fs.firstData+1 || start >= fs.blocks || n > fs.blocks-start || n == 0 {
		return false
	}
	k, _ := slices.BinarySearchFunc(fs.system, start, func(s span, start uint64) int {
		if s.start+s.n <= start {
			return -1
		}
		return 1
	})
	return k == len(fs.system) || fs.system[k].start >= start+n
}
