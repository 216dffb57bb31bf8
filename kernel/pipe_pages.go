package kernel

// pipePages counts the pages that the bytes of a pipe would take on Linux, whose capacity is in
// pages: a write begins a new page unless its last part fits behind the bytes of the last one
// (pipe_write in fs/pipe.c). So a pipe that programs fill has the same room here and there.
type pipePages struct {
	ring        []pipePage // as many as a power of two
	first, used int
}

// A pipePage has bytes from offset start to end; those before start have been read.
type pipePage struct{ start, end uint16 }

// add puts up to n bytes into the pages of a pipe that may have most of them, and returns how
// many bytes that is. Up to pageSize bytes are put all or not at all (PIPE_BUF).
func (q *pipePages) add(n, most int) int {
	merged := 0
	if part := n % pageSize; part > 0 && q.used > 0 {
		if last := q.at(q.used - 1); int(last.end)+part <= pageSize {
			last.end += uint16(part)
			merged = part
		}
	}
	rest := min(n-merged, max(most-q.used, 0)*pageSize)
	for left := rest; left > 0; left -= pageSize {
		q.grow()
		*q.at(q.used) = pipePage{end: uint16(min(left, pageSize))}
		q.used++
	}
	return merged + rest
}

// take removes the first n bytes, and reports whether that has freed a page.
func (q *pipePages) take(n int) (freed bool) {
	for n > 0 {
		p := q.at(0)
		m := min(n, int(p.end-p.start))
		p.start += uint16(m)
		n -= m
		if p.start == p.end {
			q.first++
			q.used--
			freed = true
		}
	}
	return freed
}

// at returns page i of those in use, or the free one behind them.
func (q *pipePages) at(i int) *pipePage { return &q.ring[(q.first+i)&(len(q.ring)-1)] }

// grow makes room for one more page.
func (q *pipePages) grow() {
	if q.used < len(q.ring) {
		return
	}
	ring := make([]pipePage, max(2*len(q.ring), 4))
	for i := range q.used {
		ring[i] = *q.at(i)
	}
	q.ring, q.first = ring, 0
}
