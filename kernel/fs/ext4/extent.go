package ext4

import (
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// A node of an extent tree (ext4 docs: "Extent Tree") has a header of 12 bytes and
// entries of 12 bytes. The root is in the inode.
const (
	extentMagic   = 0xf30a
	extentDepth   = 5
	extentEntry   = 12
	maxExtent     = 32768 // blocks of an initialised extent
	maxUnwritten  = 32767
	maxLogical    = 1<<32 - 1
	rootExtents   = 4
	checkedExtent = 1 // bits of jbd2.Buffer.Check
	checkedDir    = 2
	checkedIndex  = 4
	checkedXattr  = 8
)

// mapping says where n blocks of a file lie. phys is 0 in a hole.
type mapping struct {
	logical, phys, n uint64
	unwritten        bool
}

func (m mapping) written() bool { return m.phys != 0 && !m.unwritten }

func nodeEntries(d []byte) int { return int(le.Uint16(d[2:])) }
func nodeMax(d []byte) int     { return int(le.Uint16(d[4:])) }
func nodeDepth(d []byte) int   { return int(le.Uint16(d[6:])) }
func entry(d []byte, k int) []byte {
	return d[extentEntry*(k+1) : extentEntry*(k+2)]
}
func entryKey(d []byte, k int) uint64 { return uint64(le.Uint32(d[extentEntry*(k+1):])) }

func indexChild(e []byte) uint64 {
	return uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32
}

func putIndex(e []byte, key, child uint64) {
	le.PutUint32(e, uint32(key))
	le.PutUint32(e[4:], uint32(child))
	le.PutUint16(e[8:], uint16(child>>32))
	le.PutUint16(e[10:], 0)
}

func getExtent(e []byte) mapping {
	n := uint64(le.Uint16(e[4:]))
	m := mapping{logical: uint64(le.Uint32(e)), phys: uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32, n: n}
	if n > maxExtent {
		m.n, m.unwritten = n-maxExtent, true
	}
	return m
}

func putExtent(e []byte, m mapping) {
	n := m.n
	if m.unwritten {
		n += maxExtent
	}
	le.PutUint32(e, uint32(m.logical))
	le.PutUint16(e[4:], uint16(n))
	le.PutUint16(e[6:], uint16(m.phys>>32))
	le.PutUint32(e[8:], uint32(m.phys))
}

// node is one step of the path from the root to a leaf. at is the entry with the largest
// key that is not above the key looked for, -1 if all keys are above it.
type node struct {
	buf  *jbd2.Buffer // nil for the root
	data []byte
	at   int
}

// path leads from the root to a leaf.
type path struct {
	nodes [extentDepth + 1]node
	depth int
}

func (p *path) leaf() *node { return &p.nodes[p.depth] }

func (p *path) put() {
	for k := range p.nodes[:p.depth+1] {
		if b := p.nodes[k].buf; b != nil {
			b.Put()
			p.nodes[k].buf = nil
		}
	}
}

// search returns the last entry with a key of at most l, -1 if there is none.
func search(d []byte, l uint64) int {
	lo, hi := 0, nodeEntries(d)
	for lo < hi {
		mid := (lo + hi) / 2
		if entryKey(d, mid) <= l {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// find walks to the leaf for block l of the file. The caller must put the path.
func (i *Inode) find(l uint64) (p path, e syscall.Errno) {
	d := i.block[:]
	if e := i.checkNode(d, -1, 0, maxLogical+1); e != 0 {
		return p, e
	}
	lo, hi := uint64(0), uint64(maxLogical+1)
	p.nodes[0] = node{nil, d, search(d, l)}
	for depth := nodeDepth(d); depth > 0; depth-- {
		n := p.nodes[p.depth]
		at := max(n.at, 0)
		if n.at >= 0 {
			lo = entryKey(n.data, at)
		}
		if at+1 < nodeEntries(n.data) {
			hi = entryKey(n.data, at+1)
		}
		p.nodes[p.depth].at = at
		b, e := i.getNode(indexChild(entry(n.data, at)), depth-1, lo, hi)
		if e != 0 {
			p.put()
			return p, e
		}
		p.depth++
		p.nodes[p.depth] = node{b, b.Data, search(b.Data, l)}
	}
	return p, 0
}

func (i *Inode) getNode(block uint64, depth int, lo, hi uint64) (*jbd2.Buffer, syscall.Errno) {
	fs := i.fs
	if !fs.usable(block, 1) {
		return nil, fs.corrupt("block of an extent tree lies outside, inode", uint64(i.ino))
	}
	b, e := fs.j.Get(block)
	if e != 0 {
		return nil, e
	}
	checked := atomic.LoadUint32(&b.Check)&checkedExtent != 0
	if !checked && fs.metaCsum && !extentSumGood(i.seed, b.Data) {
		b.Put()
		return nil, fs.corrupt("checksum of an extent block, inode", uint64(i.ino))
	}
	if e := i.checkNode(b.Data, depth, lo, hi); e != 0 {
		b.Put()
		return nil, e
	}
	if !checked {
		mark(b, checkedExtent)
	}
	return b, 0
}

// unmark makes the next read of a buffer repeat a check.
func unmark(b *jbd2.Buffer, bit uint32) {
	for {
		old := atomic.LoadUint32(&b.Check)
		if atomic.CompareAndSwapUint32(&b.Check, old, old&^bit) {
			return
		}
	}
}

// mark records that a buffer has passed a check.
func mark(b *jbd2.Buffer, bit uint32) {
	for {
		old := atomic.LoadUint32(&b.Check)
		if atomic.CompareAndSwapUint32(&b.Check, old, old|bit) {
			return
		}
	}
}

// checkNode checks a node's header, and that its keys lie between lo and hi, so that every
// walk makes progress. depth is -1 for the root.
func (i *Inode) checkNode(d []byte, depth int, lo, hi uint64) syscall.Errno {
	most := (len(d) - extentEntry) / extentEntry
	n := nodeEntries(d)
	good := le.Uint16(d) == extentMagic && nodeMax(d) <= most && nodeMax(d) > 0 && n <= nodeMax(d)
	if depth < 0 {
		good = good && nodeDepth(d) <= extentDepth && (n > 0 || nodeDepth(d) == 0)
	} else {
		good = good && nodeDepth(d) == depth && n > 0
	}
	if good && n > 0 {
		first, last := entryKey(d, 0), entryKey(d, n-1)
		good = first >= lo && last < hi && first <= last
	}
	if !good {
		return i.fs.corrupt("node of the extent tree of inode", uint64(i.ino))
	}
	return 0
}

func extentSumOffset(d []byte) int { return extentEntry * (nodeMax(d) + 1) }

func extentSumGood(seed uint32, d []byte) bool {
	off := extentSumOffset(d)
	return off+4 <= len(d) && crc32c(seed, d[:off]) == le.Uint32(d[off:])
}

func sealExtentBlock(seed uint32, d []byte) {
	if off := extentSumOffset(d); off+4 <= len(d) {
		le.PutUint32(d[off:], crc32c(seed, d[:off]))
	}
}

// after is the key after the path's position: the next mapped block.
func (p *path) after() uint64 {
	for k := p.depth; k >= 0; k-- {
		if n := p.nodes[k]; n.at+1 < nodeEntries(n.data) {
			return entryKey(n.data, n.at+1)
		}
	}
	return maxLogical
}

// lookup maps up to n blocks of the file from block l on, within one extent or hole.
// Caller holds i.mu.
func (i *Inode) lookup(l, n uint64) (mapping, syscall.Errno) {
	if !i.extents() {
		return i.lookupIndirect(l, n, false)
	}
	if l >= maxLogical {
		return mapping{logical: l, n: n}, 0
	}
	p, e := i.find(l)
	if e != 0 {
		return mapping{}, e
	}
	defer p.put()
	m, e := i.current(&p)
	if e != 0 {
		return m, e
	}
	if off := l - m.logical; m.n > 0 && l >= m.logical && off < m.n {
		return mapping{l, m.phys + off, min(n, m.n-off), m.unwritten}, 0
	}
	next := p.after()
	if next <= l {
		return m, i.fs.corrupt("order of the extents of inode", uint64(i.ino))
	}
	if next == maxLogical {
		return mapping{logical: l, n: n}, 0
	}
	return mapping{logical: l, n: min(n, next-l)}, 0
}

// current is the extent at the path's end, checked; n is 0 if there is none.
func (i *Inode) current(p *path) (mapping, syscall.Errno) {
	leaf := p.leaf()
	if leaf.at < 0 {
		return mapping{}, 0
	}
	m := getExtent(entry(leaf.data, leaf.at))
	if m.n == 0 || m.logical+m.n > maxLogical || !i.fs.usable(m.phys, m.n) {
		return m, i.fs.corrupt("extent of inode", uint64(i.ino))
	}
	return m, 0
}
