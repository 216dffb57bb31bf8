package netstack

import (
	"math/rand/v2"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// clock is a tcpip.Clock over the machine's monotonic counter. Timers are those of package
// time, which needs no periodic tick.
type clock struct {
	tcpip.Clock
	nanotime func() int64
}

func newClock(nanotime func() int64) tcpip.Clock {
	if nanotime == nil {
		base := time.Now()
		nanotime = func() int64 { return int64(time.Since(base)) }
	}
	return &clock{Clock: tcpip.NewStdClock(), nanotime: nanotime}
}

// NowMonotonic implements tcpip.Clock.
func (c *clock) NowMonotonic() tcpip.MonotonicTime { return monotonic(c.nanotime()) }

// fastRandom is the math/rand source of gVisor's insecure generator: the
// runtime's per-thread generator, which needs no seeding and no lock.
type fastRandom struct{}

// Int63 implements math/rand.Source.
func (fastRandom) Int63() int64 { return rand.Int64() }

// Uint64 implements math/rand.Source64.
func (fastRandom) Uint64() uint64 { return rand.Uint64() }

// Seed implements math/rand.Source.
func (fastRandom) Seed(int64) {}
