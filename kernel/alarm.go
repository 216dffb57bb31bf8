package kernel

import "time"

// An alarm is a *time.Timer without its channel: that channel's element type
// is time.Time, whose formatting methods a file, being an interface value,
// would link into every program.
type alarm struct {
	stop  func() bool
	reset func(time.Duration) bool
}

// afterFunc calls f in a goroutine of its own once d has passed.
func afterFunc(d time.Duration, f func()) alarm {
	t := time.AfterFunc(d, f)
	return alarm{t.Stop, t.Reset}
}
