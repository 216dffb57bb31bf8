package wiring

import "sync"

// HoldRandom has getrandom(2) wait until the next AddEntropy.
func HoldRandom() {
	Kernel.RandomExpected()
	holdRandom()
}

// RandomReady reports whether getrandom(2) would answer at once.
func RandomReady() bool { return random(nil, false) }

// AddEntropy mixes p into the machine's generator. Without any bytes, what was to bring them has
// failed.
func AddEntropy(p []byte) {
	addEntropy(p)
	Kernel.RandomSettled(len(p) > 0)
}

// Functions are functions to be called, to which any goroutine may add.
type Functions struct {
	mu   sync.Mutex
	list []func()
}

// Add adds a function behind the others.
func (l *Functions) Add(f func()) {
	l.mu.Lock()
	l.list = append(l.list, f)
	l.mu.Unlock()
}

// Call calls those that are there, one after the other.
func (l *Functions) Call() {
	l.mu.Lock()
	list := l.list
	l.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// Resumed are the functions of OnResume.
var Resumed Functions

// OnResume has f called after the machine has gone on from a saved state, or stood still for
// some seconds, when the generators have new keys and the clock is right. The functions are
// called one after the other, in their order, by package resume; a program without that
// package has no generator of its own to renew.
func OnResume(f func()) { Resumed.Add(f) }

// Reseed gives the generators of package runtime new keys, while no goroutine runs.
func Reseed() { reseed() }

// Watch says that the VMM changes 8 bytes at a physical address, aligned to 8, when the
// machine goes on from a saved state; false if they cannot be watched.
func Watch(phys uint64) bool { return watch(phys) }

// NoticeResume makes i come then, after the machine half has done its part: the runtime's
// generators and getrandom(2) have new keys, and the clock is right.
func NoticeResume(i *Interrupt) { noticeResume(i.device) }
