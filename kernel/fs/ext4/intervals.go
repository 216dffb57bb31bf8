package ext4

import "sync"

// intervals is a set of block numbers of a file, stored as sorted disjoint ranges.
type intervals struct {
	mu   sync.Mutex
	list []interval
}

type interval struct{ from, to uint64 } // to is the number after the last

// count is how many numbers from a up to b are in the set. Caller holds mu.
func (s *intervals) count(a, b uint64) (n uint64) {
	for _, v := range s.list {
		if from, to := max(a, v.from), min(b, v.to); from < to {
			n += to - from
		}
	}
	return n
}

// add puts the numbers from a up to b into the set. Caller holds mu.
func (s *intervals) add(a, b uint64) {
	if a >= b {
		return
	}
	k := 0
	for k < len(s.list) && s.list[k].to < a {
		k++
	}
	e := k
	for e < len(s.list) && s.list[e].from <= b {
		a, b = min(a, s.list[e].from), max(b, s.list[e].to)
		e++
	}
	if e > k {
		s.list[k] = interval{a, b}
		s.list = append(s.list[:k+1], s.list[e:]...)
		return
	}
	s.list = append(s.list, interval{})
	copy(s.list[k+1:], s.list[k:])
	s.list[k] = interval{a, b}
}

// remove removes the numbers from a up to b and returns how many were in the set.
func (s *intervals) remove(a, b uint64) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = s.count(a, b); n == 0 {
		return 0
	}
	var rest []interval
	for _, v := range s.list {
		if v.from < min(a, v.to) {
			rest = append(rest, interval{v.from, min(a, v.to)})
		}
		if max(b, v.from) < v.to {
			rest = append(rest, interval{max(b, v.from), v.to})
		}
	}
	s.list = rest
	return n
}
