// Package bounce has buffers for data that a device cannot access where a program has it,
// such as on a goroutine's stack, which may move.
package bounce

import (
	"sync"
)

// Size is the length of a buffer, in bytes.
const Size = 64 << 10

// A Pool makes buffers and keeps as many as were in use at once. Any number of goroutines
// may use it.
type Pool struct {
	// NoDMA reports whether a device cannot access b, which is not empty; if nil, a device
	// can access everything. It must not change.
	NoDMA func(b []byte) bool

	mu   sync.Mutex
	free [][]byte
}

// Needed reports whether p must go through a buffer.
func (l *Pool) Needed(p []byte) bool {
	return l.NoDMA != nil && l.NoDMA(p)
}

// Get returns a buffer of Size, with arbitrary content.
func (l *Pool) Get() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b
	}
	return make([]byte, Size)
}

// Put returns a buffer to the pool.
func (l *Pool) Put(b []byte) {
	l.mu.Lock()
	l.free = append(l.free, b)
	l.mu.Unlock()
}
