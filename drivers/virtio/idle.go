package virtio

import "sync"

// An IdleList keeps what drivers make for a request, until the next one: as much
// as was in use at once. The zero value is empty; any number of goroutines may
// use it.
type IdleList[T any] struct {
	mu   sync.Mutex
	list []*T
}

// Take returns what Put has been given last; nil if nothing is idle.
func (l *IdleList[T]) Take() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.list)
	if n == 0 {
		return nil
	}
	x := l.list[n-1]
	l.list = l.list[:n-1]
	return x
}

// Put gives x to the next Take. Nobody else may use it meanwhile.
func (l *IdleList[T]) Put(x *T) {
	l.mu.Lock()
	l.list = append(l.list, x)
	l.mu.Unlock()
}
