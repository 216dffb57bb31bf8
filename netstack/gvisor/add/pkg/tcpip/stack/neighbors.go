//go:build yolk

package stack

// secondChances bounds the entries that one search passes over.
const secondChances = 16

// victim returns the entry that makes room for another: the least recently used, but not one
// that is in use with a neighbour known to be there. A network can make up as many of the others
// as it likes, by requests in their name or by packets that want an answer.
//
// +checklocks:n.mu
func (n *neighborCache) victim() *neighborEntry {
	list := &n.mu.dynamic.lru
	for range secondChances {
		e := list.Back()
		if !e.confirmed() {
			return e
		}
		list.Remove(e)
		list.PushFront(e)
	}
	return list.Back()
}

// confirmed reports whether the neighbour has answered, or is being asked again because packets
// are sent to it (RFC 4861 §7.3.2).
func (e *neighborEntry) confirmed() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch e.mu.neigh.State {
	case Reachable, Delay, Probe:
		return true
	}
	return false
}
