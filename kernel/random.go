package kernel

import (
	"sync/atomic"
	"syscall"
)

// randomPool is what getrandom(2) and /dev/random wait for: the machine's generator is
// ready once it has had a source.
type randomPool struct {
	queue    WaitQueue
	expected atomic.Bool
	logged   atomic.Bool
}

// RandomExpected says that a device is about to bring random bytes.
func (k *Kernel) RandomExpected() { k.random.expected.Store(true) }

// RandomSettled says that the machine has a source of randomness, or that what was expected
// will not come: whoever waits tries again. With more, it will come again when the machine
// has lost what it had.
func (k *Kernel) RandomSettled(more bool) {
	k.random.expected.Store(more)
	k.random.queue.Notify(EventIn)
}

// noRandom is what a person can do about it.
const noRandom = "no source of random numbers: no RDRAND or RDSEED that works, and no answer of a virtio-rng device (programs with " +
	"crypto/rand have its driver). getrandom(2) waits. Add -device virtio-rng-pci, on a microvm virtio-rng-device"

// fill fills p; EAGAIN while there is no source, of which it complains once.
func (r *randomPool) fill(k *Kernel, p []byte) syscall.Errno {
	if k.m.Random(p, false) {
		return 0
	}
	if !r.expected.Load() && !r.logged.Swap(true) {
		k.Log(noRandom)
	}
	return syscall.EAGAIN
}

// wait is fill that waits until there is a source.
func (r *randomPool) wait(k *Kernel, p []byte) {
	s := newSleeper(k, &r.queue, 0)
	for r.fill(k, p) != 0 {
		s.sleep()
	}
	s.done()
}

// sysGetrandom is getrandom(2). GRND_RANDOM makes no difference, as on Linux since 5.6.
func sysGetrandom(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const nonblock, random, insecure = 1, 2, 4 // GRND_*
	flags := uint32(a.N[2])
	if flags&^(nonblock|random|insecure) != 0 || flags&(random|insecure) == random|insecure {
		return 0, syscall.EINVAL
	}
	n := min(a.N[1], 1<<25-1)
	p, e := a.Bytes(0, int(n))
	if e != 0 {
		return 0, e
	}
	if flags&insecure != 0 {
		k.m.Random(p, true)
		return n, 0
	}
	e = k.random.fill(k, p)
	if e != 0 && flags&nonblock == 0 {
		k.random.wait(k, p)
		e = 0
	}
	return n, e
}
