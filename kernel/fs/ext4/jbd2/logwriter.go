package jbd2

import "time"

// logWriter builds the blocks of a transaction as they lie in the log.
type logWriter struct {
	j    *Journal
	tx   *transaction
	bufs [][]byte
	n    int // number of blocks of Journal.scratch in use
}

// maxScratch is how many blocks for descriptors and revokes are kept from one commit to
// the next.
const maxScratch = 8

// length is the size of the transaction in blocks, with the commit block.
func (w *logWriter) length() uint32 {
	n, r := len(w.tx.copies), len(w.tx.revoked)
	d := w.j.perDescriptor
	return uint32(n + (n+d-1)/d + (r+w.j.perRevoke-1)/w.j.perRevoke + 1)
}

func (w *logWriter) block(kind uint32) []byte {
	p := w.zero()
	putHeader(p, kind, w.tx.sequence)
	return p
}

func (w *logWriter) zero() []byte {
	if w.n == len(w.j.scratch) {
		p := make([]byte, w.j.cfg.BlockSize)
		if w.n < maxScratch {
			w.j.scratch = append(w.j.scratch, p)
			w.n++
		}
		return p
	}
	p := w.j.scratch[w.n]
	w.n++
	clear(p)
	return p
}

// revokes builds the revoke blocks.
func (w *logWriter) revokes() {
	l, step := w.j.layout, w.j.layout.recordBytes()
	var p []byte
	off := 0
	seal := func() {
		if p != nil {
			be.PutUint32(p[headerBytes:], uint32(off))
			l.putTail(p)
		}
	}
	for block := range w.tx.revoked {
		if p == nil || off+step > len(p)-l.tail() {
			seal()
			p, off = w.block(typeRevoke), revokeHeaderBytes
			w.bufs = append(w.bufs, p)
		}
		if l.wide {
			be.PutUint64(p[off:], block)
		} else {
			be.PutUint32(p[off:], uint32(block))
		}
		off += step
	}
	seal()
}

// descriptors builds the descriptor blocks, each followed by the blocks it describes.
func (w *logWriter) descriptors() {
	per := w.j.perDescriptor
	for list := w.tx.copies; len(list) > 0; list = list[min(per, len(list)):] {
		w.descriptor(list[:min(per, len(list))])
	}
}

func (w *logWriter) descriptor(list []snapshot) {
	l := w.j.layout
	p := w.block(typeDescriptor)
	w.bufs = append(w.bufs, p)
	off := headerBytes
	for i, c := range list {
		t := tag{block: c.b.Block}
		data := c.data
		if be.Uint32(data) == magic {
			t.flags |= flagEscape
			data = append([]byte(nil), data...)
			be.PutUint32(data, 0)
		}
		if i > 0 {
			t.flags |= flagSameUUID
		}
		if i == len(list)-1 {
			t.flags |= flagLast
		}
		if l.sums() {
			t.sum = l.dataSum(w.tx.sequence, data)
		}
		l.putTag(p[off:], t)
		off += l.tagBytes()
		if i == 0 {
			off += copy(p[off:], w.j.super.raw[superUUID:superUUID+uuidBytes])
		}
		w.bufs = append(w.bufs, data)
	}
	l.putTail(p)
}

func (w *logWriter) commitBlock(now time.Time) []byte {
	p := w.block(typeCommit)
	be.PutUint64(p[commitSeconds:], uint64(now.Unix()))
	be.PutUint32(p[commitNanos:], uint32(now.Nanosecond()))
	if l := w.j.layout; l.sums() {
		be.PutUint32(p[commitSum:], l.sumWithZero(p, commitSum))
	}
	return p
}
