package debian

import (
	"fmt"
	"runtime"
	"time"
)

// TSCWords returns command line words with the frequency of a Linux guest's time stamp counter.
// TCG passes the host's counter through and has no CPUID leaf for its frequency; without these
// words the kernel would calibrate for a long time, and then distrust the counter.
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
