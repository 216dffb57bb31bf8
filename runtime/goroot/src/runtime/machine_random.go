//go:build tamago

package runtime

import (
	"internal/chacha8rand"
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/entropy"
	"unsafe"
)

// Random numbers: a key of 256 bits, and ChaCha8 (the generator of math/rand/v2 and of the
// runtime) as the function that makes an answer and the next key of it. Each answer mixes
// in what the CPU's generator gives and the TSC, so that machines that go on from one saved
// state differ at once. Further sources are jitter, and what the kernel above brings
// (virtio-rng).

var machRand machRandState

type machRandState struct {
	key    [4]uint64
	state  chacha8rand.State // of the answer that is being made
	probed bool              // the CPU was asked what it has
	rdrand bool
	rdseed bool
	source entropy.Source // of the CPU
	given  bool           // the kernel above has brought bytes
	held   bool           // and is about to
	ready  bool           // there is a source, and nothing is held
}

// freshWords is how many numbers of the CPU's generator go into each answer: 128 bits.
const freshWords = 2

// machRandom fills n bytes at p, and keeps no key with which they could be made again. It
// returns false, and leaves them, if no source of randomness has been heard of, unless
// insecure is set.
func machRandom(p, n uintptr, insecure bool) bool {
	r := &machRand
	if !r.probed {
		machRandomSeed(0, 0)
	}
	mach.generation.checkForAnswer()
	if !r.ready && !insecure {
		return false
	}
	fresh := [4]uint64{rdtsc()}
	for i := 1; i <= freshWords; i++ {
		fresh[i], _ = r.draw(r.rdrand)
	}
	r.absorb(&fresh)
	for n > 0 {
		v, ok := r.state.Next()
		if !ok {
			r.state.Refill()
			continue
		}
		k := min(n, 8)
		if k == 8 {
			store64(p, v)
		} else {
			memmove(unsafe.Pointer(p), unsafe.Pointer(&v), k)
		}
		p, n = p+k, n-k
	}
	r.wipe()
	return true
}

// absorb starts the function with the key and words, and takes the next key from it. It does
// not lose what the key had, whatever words are.
func (r *machRandState) absorb(words *[4]uint64) {
	for i := range r.key {
		r.key[i] ^= words[i]
	}
	r.state.Init64(r.key)
	for i := range r.key {
		r.key[i], _ = r.state.Next() // there are 32
	}
}

// wipe forgets how the last answer was made.
func (r *machRandState) wipe() {
	memclrNoHeapPointers(unsafe.Pointer(&r.state), unsafe.Sizeof(r.state))
}

// draw returns a number of the CPU's generator: unless fast is set of RDSEED, which is slower
// than those who may ask (Intel SDM volume 1, §7.3.17.2), and if it has none of RDRAND.
func (r *machRandState) draw(fast bool) (v uint64, ok bool) {
	for i := 0; i < entropy.Tries && !r.source.Broken(); i++ {
		switch {
		case r.rdrand && (fast || !r.rdseed || i >= entropy.Tries/2):
			v, ok = rdrand()
		case r.rdseed:
			v, ok = rdseed()
		default:
			return 0, false
		}
		if ok && r.source.Good(v) {
			return v, true
		}
		machPause()
	}
	return 0, false
}

// probe asks the CPU what generators it has, and hears a first number of them.
func (r *machRandState) probe() {
	r.probed = true
	r.source = entropy.Source{}
	_, _, c, _ := machCPUID(1, 0)
	r.rdrand = c>>30&1 != 0
	if top, _, _, _ := machCPUID(0, 0); top >= 7 {
		_, b, _, _ := machCPUID(7, 0)
		r.rdseed = b>>18&1 != 0
	}
	if r.rdrand {
		_, r.rdrand = r.draw(true)
	}
	if r.rdseed && !r.rdrand {
		_, r.rdseed = r.draw(false)
	}
}

// hardware tells whether the CPU's generator works.
func (r *machRandState) hardware() bool {
	return (r.rdrand || r.rdseed) && !r.source.Broken()
}

// machRandomSeed makes a new key from the old one, the CPU's generator, jitter and n bytes
// at p.
func machRandomSeed(p, n uintptr) {
	r := &machRand
	if !r.probed {
		r.probe()
	}
	samples := 4
	if !r.hardware() {
		samples = 128
	}
	var words [4]uint64
	for i := 0; i < samples; i++ {
		w := &words[i&3]
		inb(comLSR) // leaves the CPU: its duration is the jitter
		*w = (*w ^ rdtsc()) * 0x9e3779b97f4a7c15
		*w ^= *w >> 29
		if i < 4 {
			v, _ := r.draw(false)
			*w ^= v
		}
	}
	r.absorb(&words)
	for n > 0 { // 32 bytes at a time
		k := min(n, 32)
		words = [4]uint64{}
		memmove(unsafe.Pointer(&words), unsafe.Pointer(p), k)
		r.absorb(&words)
		p, n = p+k, n-k
	}
	r.wipe()
	r.ready = !r.held && (r.given || r.hardware())
}

// machAddEntropy mixes n bytes at p in, which may be none: then what held answers back has
// failed. It returns 1 if there is a source now.
func machAddEntropy(p, n uintptr) uintptr {
	r := &machRand
	r.held = false
	r.given = r.given || n > 0
	machRandomSeed(p, n)
	if n > 0 {
		machReseed() // these began before there was a source, or a good one
	}
	if r.ready {
		return 1
	}
	return 0
}

// machHoldRandom lets answers wait for bytes that are about to come.
func machHoldRandom() {
	machRand.held = true
	machRand.ready = false
}

// resumed makes a new key when the machine goes on from a saved state: the old one may be
// that of others too, and what was brought to it as well. The CPU may be another.
func (r *machRandState) resumed(id *[4]uint64) {
	r.given = false
	r.probe()
	machRandomSeed(uintptr(unsafe.Pointer(id)), unsafe.Sizeof(*id))
}

// machReseed gives the runtime's own generators new keys: that of each thread, which
// math/rand/v2 and the seeds of maps come from, and the one that seeds those of new threads.
// Where the world is not stopped, a thread may be about to store what it has made of its old
// key: yolk_reseed calls this once more.
func machReseed() {
	for mp := allm; mp != nil; mp = mp.alllink {
		machReseedState(&mp.chacha8)
		machRandom(uintptr(unsafe.Pointer(&mp.cheaprand)), unsafe.Sizeof(mp.cheaprand), true)
	}
	machReseedState(&globalRand.state)
}

func machReseedState(s *chacha8rand.State) {
	var key [4]uint64
	machRandom(uintptr(unsafe.Pointer(&key)), unsafe.Sizeof(key), true)
	s.Init64(key)
}

// linuxGetrandom is getrandom(2), but that it does not wait: EAGAIN.
func linuxGetrandom(p, n, flags uintptr) uintptr {
	if !machRandom(p, n, flags&machine.GetrandomInsecure != 0) {
		return machErr(_EAGAIN)
	}
	return n
}
