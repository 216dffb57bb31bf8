package debian

import (
	"fmt"
	"runtime"
	"time"
)

// TSCWords returns what tells a Linux guest the frequency of its time stamp
// counter. TCG passes the host's through and has no CPUID leaf for it; without
// these words the kernel would calibrate for a long time, and then distrust it.
func TSCWords() string {
	return fmt.Sprintf(" tsc_early_khz=%d tsc=reliable", tscKHz())
}

// tscKHz measures the frequency, to about 0.1 %.
func tscKHz() int64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t0, c0 := time.Now(), rdtsc()
	time.Sleep(200 * time.Millisecond)
	c1, d := rdtsc(), time.Since(t0)
	return int64(float64(c1-c0) / d.Seconds() / 1000)
}

// rdtsc reads the time stamp counter.
func rdtsc() uint64
