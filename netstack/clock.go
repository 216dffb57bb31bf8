package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// clock is tcpip.Clock over the machine's monotonic counter: one read per
// segment instead of the two (wall and monotonic) of time.Now. Timers stay
// those of package time: the runtime keeps them without a periodic tick.
type clock struct {
	tcpip.Clock
	nanotime func() int64
}

func newClock(nanotime func() int64) tcpip.Clock {
	std := tcpip.NewStdClock()
	if nanotime == nil {
		return std
	}
	return &clock{Clock: std, nanotime: nanotime}
}

// NowMonotonic implements tcpip.Clock.
func (c *clock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Duration(c.nanotime()))
}
