package blk

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// cut makes the chain of the next part of a request in segs: header, data,
// status. slot is the physical address of what goes with its head; size is how
// many bytes the part is about (§5.2.6).
func (q *queue) cut(r *Request, slot uint64) (size int64, readable int, err error) {
	q.segs = append(q.segs[:0], virtio.Segment{Addr: slot, Len: headerSize})
	switch r.Op {
	case Read, Write:
		if size = q.cutData(r); size == 0 {
			return 0, 0, ErrPieces
		}
	case Discard:
		size = cutRange(r, q.d.info.Discard)
	case WriteZeroes:
		size = cutRange(r, q.d.info.WriteZeroes)
	case Flush:
		size = r.left
	case Identify:
		size = r.left
		q.segs = append(q.segs, virtio.Segment{Addr: slot + idAt, Len: IDSize})
	}
	if r.Op == Discard || r.Op == WriteZeroes {
		q.segs = append(q.segs, virtio.Segment{Addr: slot + rangeAt, Len: rangeSize})
	}
	readable = len(q.segs)
	if r.Op == Read || r.Op == Identify {
		readable = 1
	}
	q.segs = append(q.segs, virtio.Segment{Addr: slot + statusAt, Len: 1})
	return size, readable, nil
}

// cutData appends the segments of the next part's data, in whole blocks.
func (q *queue) cutData(r *Request) (size int64) {
	info := &q.d.info
	lim := virtio.SegmentLimit{First: 1, Count: 1 + info.MaxSegments, Len: uint32(info.MaxSegment)}
	at := r.at
	for _, b := range r.Buffers[r.buf:] {
		b = b[at:]
		b = b[:min(int64(len(b)), int64(info.MaxBytes)-size)]
		var n int
		q.segs, n = virtio.AppendSegmentsLimit(q.d.mem, q.segs, b, lim)
		size += int64(n)
		if n < len(b) || size == int64(info.MaxBytes) {
			break
		}
		at = 0
	}
	excess := size & int64(info.BlockSize-1)
	q.dropTail(uint32(excess))
	return size - excess
}

// dropTail takes bytes away from the end of segs.
func (q *queue) dropTail(n uint32) {
	for n > 0 {
		last := &q.segs[len(q.segs)-1]
		if last.Len > n {
			last.Len -= n
			return
		}
		n -= last.Len
		q.segs = q.segs[:len(q.segs)-1]
	}
}

// cutRange returns the size of the next part of a range. Parts end where it
// suits the device, if they can.
func cutRange(r *Request, lim RangeLimits) int64 {
	if r.left <= lim.MaxBytes {
		return r.left
	}
	end := r.pos + lim.MaxBytes
	if a := lim.Alignment; a > 0 && end-end%a > r.pos {
		end -= end % a
	}
	return end - r.pos
}

// take moves on by the part that was made.
func (r *Request) take(size int64) {
	r.left -= size
	r.pos += size
	if r.Op != Read && r.Op != Write {
		return
	}
	for size > 0 {
		n := min(size, int64(len(r.Buffers[r.buf])-r.at))
		size -= n
		if r.at += int(n); r.at == len(r.Buffers[r.buf]) {
			r.buf, r.at = r.buf+1, 0
		}
	}
}
