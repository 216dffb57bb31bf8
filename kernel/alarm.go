package kernel

// The kernel's clocks. wallTime returns nanoseconds since 1970, sleep blocks the
// goroutine for ns nanoseconds, and afterFunc calls f in a goroutine of its own
// once ns nanoseconds have passed.

// An alarm is a timer of afterFunc.
type alarm struct {
	// stop reports whether the alarm was stopped before it rang.
	stop func() bool
}
