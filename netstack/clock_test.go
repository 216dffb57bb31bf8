package netstack

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

func TestMonotonic(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Hour, 1<<62 - 1} {
		if got, want := monotonic(int64(d)), (tcpip.MonotonicTime{}).Add(d); got != want {
			t.Errorf("monotonic(%d) = %v; want %v", d, got, want)
		}
	}
}
