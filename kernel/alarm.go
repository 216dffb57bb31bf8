package kernel

// The kernel's clocks are wallTime, which returns nanoseconds since 1970, sleep, which blocks
// the goroutine for ns nanoseconds, and afterFunc, which calls f in a goroutine of its own
// once ns nanoseconds have passed.

// An alarm is a timer of afterFunc.
type alarm struct {
	// stop reports whether the alarm was stopped before it fired.
	stop func() bool
}
