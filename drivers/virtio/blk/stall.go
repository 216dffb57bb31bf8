package blk

import "time"

// Clock measures how long the device holds a request.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is as *time.Timer is.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

type systemClock struct{}

func (systemClock) Now() time.Time                                { return time.Now() }
func (systemClock) AfterFunc(d time.Duration, f func()) (t Timer) { return time.AfterFunc(d, f) }

// now returns the time, if it will be asked for how old a request is.
func (q *queue) now() time.Time {
	if q.d.opt.Stalled == nil || q.pending.head == nil {
		return time.Time{}
	}
	return q.d.opt.Clock.Now()
}

// setTimer starts the timer when the device has got something to do and stops
// it when it has done all, with mu held. It is not put off by what comes
// between: see lookForStalled.
func (q *queue) setTimer() {
	busy := q.d.opt.Stalled != nil && q.err == nil && q.vq.InFlight() > 0
	switch {
	case busy == q.armed:
		return
	case !busy:
		q.timer.Stop()
	case q.timer == nil:
		q.timer = q.d.opt.Clock.AfterFunc(q.d.opt.Timeout, q.lookForStalled)
	default:
		q.timer.Reset(q.d.opt.Timeout)
	}
	q.armed = busy
}

// stall is one call of Options.Stalled.
type stall struct {
	op             Op
	offset, length int64
	age            time.Duration
}

// lookForStalled is called when the part that was the oldest may be too old. It
// sets the timer for the oldest that is not.
func (q *queue) lookForStalled() {
	q.mu.Lock()
	late, oldest := q.tellStalled(q.d.opt.Clock.Now())
	if q.armed && oldest >= 0 {
		q.timer.Reset(q.d.opt.Timeout - oldest)
	} else {
		q.armed = false
	}
	q.mu.Unlock()
	for _, s := range late {
		q.d.opt.Stalled(s.op, s.offset, s.length, s.age)
	}
}

// tellStalled returns the requests that have become too old, and the age of the
// oldest part that has not; -1 if there is none.
func (q *queue) tellStalled(now time.Time) (late []stall, oldest time.Duration) {
	oldest = -1
	for i := range q.parts {
		p := &q.parts[i]
		if p.r == nil || p.told {
			continue
		}
		age := now.Sub(p.since)
		if age < q.d.opt.Timeout {
			oldest = max(oldest, age)
			continue
		}
		p.told = true
		if !p.r.stalled {
			p.r.stalled = true
			late = append(late, stall{p.r.Op, p.r.Offset, p.r.size, age})
		}
	}
	return late, oldest
}
