//go:build yolk

package kernel

import "unsafe"

// These are the functions that package runtime offers to package time, as time/sleep.go
// declares them. The kernel does not import package time: it would then initialise before
// the kernel, and its tests open files in an init function.

//go:linkname timeNow time.now
func timeNow() (sec int64, nsec int32, mono int64)

//go:linkname sleep time.Sleep
func sleep(ns int64)

//go:linkname newTimer time.newTimer
func newTimer(when, period int64, f func(arg any, seq uintptr, delay int64), arg any, c unsafe.Pointer) *timer

//go:linkname stopTimer time.stopTimer
func stopTimer(*timer) bool

// timer is the beginning of runtime.timeTimer, which package runtime allocates.
type timer struct {
	c    unsafe.Pointer
	init bool
}

func wallTime() int64 {
	sec, nsec, _ := timeNow()
	return sec*1e9 + int64(nsec)
}

func afterFunc(ns int64, f func()) alarm {
	_, _, now := timeNow()
	when := now + max(ns, 0)
	if when < 0 {
		when = 1<<63 - 1
	}
	t := newTimer(when, 0, ring, f, nil)
	return alarm{func() bool { return stopTimer(t) }}
}

// ring runs on a system stack, where f cannot run.
func ring(f any, _ uintptr, _ int64) { go f.(func())() }
