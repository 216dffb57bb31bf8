//go:build tamago

package runtime

import (
	"internal/chacha8rand"
	"unsafe"
)

// Entropy: a ChaCha8 generator (the one that math/rand/v2 and the runtime use)
// seeded by RDRAND and by the jitter of device accesses against the TSC, and
// again whenever the kernel brings more (virtio-rng).

var machRand struct {
	state  chacha8rand.State
	seeded bool
}

// machRandom fills n bytes at p and forgets the key that made them.
func machRandom(p, n uintptr) {
	if !machRand.seeded {
		machRandomSeed(0, 0)
	}
	for n > 0 {
		v, ok := machRand.state.Next()
		if !ok {
			machRand.state.Refill()
			continue
		}
		if n >= 8 {
			store64(p, v)
			p, n = p+8, n-8
			continue
		}
		k := n
		for i := uintptr(0); i < k; i++ {
			*(*byte)(unsafe.Pointer(p + i)) = byte(v >> (8 * i))
		}
		p, n = p+k, n-k
	}
	machRand.state.Reseed()
}

// machRandomSeed makes a new key from the old one, the CPU's generator, jitter
// and n bytes at p.
func machRandomSeed(p, n uintptr) {
	var seed [4]uint64
	if machRand.seeded {
		for i := range seed {
			for {
				v, ok := machRand.state.Next()
				if ok {
					seed[i] = v
					break
				}
				machRand.state.Refill()
			}
		}
	}
	_, _, c, _ := machCPUID(1, 0)
	rand := c>>30&1 != 0
	samples := 4
	if !rand {
		samples = 128
	}
	for i := 0; i < samples; i++ {
		s := &seed[i&3]
		if rand {
			v, _ := rdrand()
			*s ^= v
		}
		inb(comLSR) // leaves the CPU: its duration is the jitter
		*s = (*s ^ rdtsc()) * 0x9e3779b97f4a7c15
		*s ^= *s >> 29
	}
	for i := uintptr(0); i < n; i++ {
		s := &seed[i&3]
		*s = (*s ^ uint64(*(*byte)(unsafe.Pointer(p + i)))) * 0x9e3779b97f4a7c15
		*s ^= *s >> 32
	}
	machRand.state.Init64(seed)
	machRand.state.Reseed()
	machRand.seeded = true
}
