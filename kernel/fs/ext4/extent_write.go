package ext4

import "syscall"

// This file changes extent trees. Callers hold i.mu and an open handle, and write the
// inode, which contains the root, before they end the handle. Each function leaves a
// consistent tree.

// The costs are in buffers. An insertion may split every level; a removal frees blocks in
// at most two groups and may empty a node per level.
const (
	insertBlocks = extentDepth + 1
	insertCost   = 3 * insertBlocks
)

func (i *Inode) depth() int { return min(nodeDepth(i.block[:]), extentDepth) }

func (i *Inode) removeCost() int { return 6 + 8*(i.depth()+1) }

// initExtents makes an empty tree.
func (i *Inode) initExtents() {
	clear(i.block[:])
	putNode(i.block[:], 0, rootExtents, 0)
	i.flags |= flagExtents
}

func putNode(d []byte, entries, most, depth int) {
	le.PutUint16(d, extentMagic)
	le.PutUint16(d[2:], uint16(entries))
	le.PutUint16(d[4:], uint16(most))
	le.PutUint16(d[6:], uint16(depth))
}

func setEntries(d []byte, n int) { le.PutUint16(d[2:], uint16(n)) }

func nodeFull(d []byte) bool { return nodeEntries(d) >= nodeMax(d) }

func (fs *FS) nodeMax() int { return (fs.blockSize - extentEntry) / extentEntry }

// touch makes a node part of the transaction.
func (i *Inode) touch(o *op, n *node) {
	o.changed = true
	if n.buf != nil {
		o.dirty(n.buf, i.sealExtents())
	}
}

// openEntry makes room for entry k in a node that is not full.
func openEntry(d []byte, k int) []byte {
	n := nodeEntries(d)
	copy(d[extentEntry*(k+2):extentEntry*(n+2)], d[extentEntry*(k+1):extentEntry*(n+1)])
	setEntries(d, n+1)
	return entry(d, k)
}

func closeEntry(d []byte, k int) {
	n := nodeEntries(d)
	copy(d[extentEntry*(k+1):], d[extentEntry*(k+2):extentEntry*(n+1)])
	setEntries(d, n-1)
}

// insert adds an extent where nothing is mapped, and merges it with contiguous neighbours.
// It costs insertCost buffers and insertBlocks blocks.
func (i *Inode) insert(o *op, m mapping) syscall.Errno {
	for range 2 * insertBlocks {
		p, e := i.find(m.logical)
		if e != 0 {
			return e
		}
		done, e := i.insertAt(o, &p, m)
		p.put()
		if done || e != 0 {
			return e
		}
		if e := i.makeRoom(o, m); e != 0 {
			return e
		}
	}
	return i.fs.corrupt("extent tree does not take an extent, inode", uint64(i.ino))
}

// insertAt inserts at the path's end; done is false if the leaf is full.
func (i *Inode) insertAt(o *op, p *path, m mapping) (done bool, e syscall.Errno) {
	left, e := i.current(p)
	if e != 0 {
		return false, e
	}
	if left.n > 0 && left.logical+left.n > m.logical || m.logical+m.n > p.after() {
		return false, i.fs.corrupt("extents overlap in inode", uint64(i.ino))
	}
	leaf := p.leaf()
	if left.n > 0 && mergeable(left, m) {
		i.touch(o, leaf)
		left.n += m.n
		i.mergeRight(leaf, left)
		return true, 0
	}
	if leaf.at+1 < nodeEntries(leaf.data) {
		if right := getExtent(entry(leaf.data, leaf.at+1)); mergeable(m, right) {
			i.touch(o, leaf)
			m.n += right.n
			putExtent(entry(leaf.data, leaf.at+1), m)
			i.fixKeys(o, p, p.depth)
			return true, 0
		}
	}
	if nodeFull(leaf.data) {
		return false, 0
	}
	i.touch(o, leaf)
	putExtent(openEntry(leaf.data, leaf.at+1), m)
	i.fixKeys(o, p, p.depth)
	return true, 0
}

// mergeable reports whether b can become part of a.
func mergeable(a, b mapping) bool {
	most := uint64(maxExtent)
	if a.unwritten {
		most = maxUnwritten
	}
	return joins(a, b) && a.n+b.n <= most
}

// mergeRight stores the extent at leaf.at, merged with the next one if possible.
func (i *Inode) mergeRight(leaf *node, m mapping) {
	if leaf.at+1 < nodeEntries(leaf.data) {
		if right := getExtent(entry(leaf.data, leaf.at+1)); mergeable(m, right) {
			m.n += right.n
			closeEntry(leaf.data, leaf.at+1)
		}
	}
	putExtent(entry(leaf.data, leaf.at), m)
}

// fixKeys sets the keys above a node whose first key may have changed.
func (i *Inode) fixKeys(o *op, p *path, k int) {
	for ; k > 0 && nodeEntries(p.nodes[k].data) > 0; k-- {
		up := &p.nodes[k-1]
		e, key := entry(up.data, up.at), entryKey(p.nodes[k].data, 0)
		if uint64(le.Uint32(e)) == key {
			return
		}
		i.touch(o, up)
		le.PutUint32(e, uint32(key))
	}
}

// makeRoom splits one full node on the path to an extent, or adds a level to the tree.
func (i *Inode) makeRoom(o *op, m mapping) syscall.Errno {
	p, e := i.find(m.logical)
	if e != 0 {
		return e
	}
	defer p.put()
	k := p.depth
	for k >= 0 && nodeFull(p.nodes[k].data) {
		k--
	}
	if k < 0 {
		return i.deepen(o, m.phys)
	}
	if k == p.depth {
		return 0
	}
	return i.split(o, &p, k+1)
}

// split moves the upper half of node k to a new block. If the node was appended to, it
// moves only the last entry, so that the trees of growing files are full.
func (i *Inode) split(o *op, p *path, k int) syscall.Errno {
	c, up := &p.nodes[k], &p.nodes[k-1]
	block, e := o.block(c.buf.Block + 1)
	if e != 0 {
		return e
	}
	b := o.fresh(block, checkedExtent, i.sealExtents())
	defer b.Put()
	n := nodeEntries(c.data)
	keep := n / 2
	if c.at == n-1 {
		keep = n - 1
	}
	putNode(b.Data, n-keep, i.fs.nodeMax(), nodeDepth(c.data))
	copy(b.Data[extentEntry:], c.data[extentEntry*(keep+1):extentEntry*(n+1)])
	i.touch(o, c)
	setEntries(c.data, keep)
	i.touch(o, up)
	putIndex(openEntry(up.data, up.at+1), entryKey(b.Data, 0), block)
	i.blocks += uint64(i.fs.blockSize >> 9)
	return 0
}

// deepen moves the root's entries to a new block below the root.
func (i *Inode) deepen(o *op, goal uint64) syscall.Errno {
	root := i.block[:]
	if nodeDepth(root) >= extentDepth {
		return i.fs.corrupt("extent tree is too deep, inode", uint64(i.ino))
	}
	block, e := o.block(goal)
	if e != 0 {
		return e
	}
	b := o.fresh(block, checkedExtent, i.sealExtents())
	defer b.Put()
	copy(b.Data, root)
	le.PutUint16(b.Data[4:], uint16(i.fs.nodeMax()))
	o.changed = true
	key := entryKey(root, 0)
	depth := nodeDepth(root) + 1
	clear(root)
	putNode(root, 1, rootExtents, depth)
	putIndex(entry(root, 0), key, block)
	i.blocks += uint64(i.fs.blockSize >> 9)
	return 0
}

// removeLast unmaps the last part of an extent between lo and hi, at most as many blocks
// as a group has; done reports that nothing is mapped there any more. With free, the
// blocks are freed. It costs removeCost buffers, and insertBlocks blocks if it cuts an
// extent in two, which happens once per range.
func (i *Inode) removeLast(o *op, lo, hi uint64, free bool) (done bool, e syscall.Errno) {
	p, e := i.find(hi - 1)
	if e != 0 {
		return false, e
	}
	defer p.put()
	m, e := i.current(&p)
	if e != 0 {
		return false, e
	}
	if m.n == 0 || m.logical+m.n <= lo || m.logical >= hi {
		return true, 0
	}
	end := min(hi, m.logical+m.n)
	start := max(lo, m.logical)
	if free {
		if end-start > uint64(i.fs.blocksPer) {
			start = end - uint64(i.fs.blocksPer)
		}
		if e := o.free(m.phys+start-m.logical, end-start, i.kind() != typeReg); e != 0 {
			return false, e
		}
		i.blocks -= min(i.blocks, (end-start)<<(i.fs.blockBits-9))
	}
	return false, i.trim(o, &p, m, start, end)
}

// trim removes blocks from start up to end from the extent e at the path's end.
func (i *Inode) trim(o *op, p *path, e mapping, start, end uint64) syscall.Errno {
	leaf := p.leaf()
	right := mapping{end, e.phys + end - e.logical, e.logical + e.n - end, e.unwritten}
	left := e
	left.n = start - e.logical
	switch {
	case left.n > 0:
		i.touch(o, leaf)
		putExtent(entry(leaf.data, leaf.at), left)
		if right.n > 0 {
			return i.insert(o, right)
		}
		return 0
	case right.n > 0:
		i.touch(o, leaf)
		putExtent(entry(leaf.data, leaf.at), right)
		i.fixKeys(o, p, p.depth)
		return 0
	}
	return i.removeEntry(o, p)
}

// removeEntry deletes the entry at the path's end and the nodes that become empty.
func (i *Inode) removeEntry(o *op, p *path) syscall.Errno {
	k := p.depth
	for ; ; k-- {
		n := &p.nodes[k]
		i.touch(o, n)
		closeEntry(n.data, n.at)
		if k == 0 || nodeEntries(n.data) > 0 {
			break
		}
		if e := i.freeNode(o, n.buf.Block); e != 0 {
			return e
		}
	}
	if k == 0 && nodeEntries(i.block[:]) == 0 {
		putNode(i.block[:], 0, rootExtents, 0)
		return 0
	}
	i.fixKeys(o, p, k)
	return i.flatten(o)
}

func (i *Inode) freeNode(o *op, block uint64) syscall.Errno {
	size := uint64(i.fs.blockSize >> 9)
	i.blocks -= min(i.blocks, size)
	return o.free(block, 1, true)
}

// flatten moves the entries of the root's only child into the root if they fit.
func (i *Inode) flatten(o *op) syscall.Errno {
	root := i.block[:]
	if nodeDepth(root) == 0 || nodeEntries(root) != 1 {
		return 0
	}
	block := indexChild(entry(root, 0))
	b, e := i.getNode(block, nodeDepth(root)-1, 0, maxLogical+1)
	if e != 0 {
		return e
	}
	defer b.Put()
	n := nodeEntries(b.Data)
	if n > rootExtents {
		return 0
	}
	copy(root[extentEntry:], b.Data[extentEntry:extentEntry*(n+1)])
	putNode(root, n, rootExtents, nodeDepth(b.Data))
	return i.freeNode(o, block)
}

// remove unmaps and frees everything from lo up to hi, in as many handles as it needs; at
// the end of each the inode is written. It needs insertBlocks blocks if something is
// mapped after hi, whose extent may have to be split. Otherwise it needs none, so that
// files can be removed from a full disk.
func (i *Inode) remove(o *op, lo, hi uint64) syscall.Errno {
	for {
		if e := i.next(o, i.removeCost()); e != 0 {
			return e
		}
		if done, e := i.removeLast(o, lo, hi, true); done || e != 0 {
			return e
		}
	}
}

// next is op.step for a change of this inode, which is written when the handle ends.
func (i *Inode) next(o *op, cost int) syscall.Errno {
	if o.left < cost+1 {
		o.left = 0
		if e := i.writeData(o); e != 0 {
			return e
		}
	}
	return o.step(cost)
}

// replace changes the state (written or unwritten) of m's blocks. The caller has checked
// that they belong to one extent.
func (i *Inode) replace(o *op, m mapping) syscall.Errno {
	if _, e := i.removeLast(o, m.logical, m.logical+m.n, false); e != 0 {
		return e
	}
	for m.n > 0 {
		part := m
		part.n = min(m.n, maxUnwritten)
		if e := i.insert(o, part); e != 0 {
			return e
		}
		m.logical, m.phys, m.n = m.logical+part.n, m.phys+part.n, m.n-part.n
	}
	return 0
}
