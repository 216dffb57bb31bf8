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

// now returns the time, if there is something to submit.
func (q *queue) now() time.Time {
	if q.pending.head == nil {
		return time.Time{}
	}
	return q.d.opt.Clock.Now()
}

// lookEvery is how long the timer runs at most. Starting and stopping it for each
// request would take longer than much else of it; but while it runs, the Go
// runtime does not find that a program has come to a deadlock.
const lookEvery = 100 * time.Millisecond

// setTimer starts the timer, if it does not run, when the device has got something
// to do, with mu held. It is not put off, and not stopped when all is done: see
// lookForStalled.
func (q *queue) setTimer() {
	if q.armed || q.d.opt.Stalled == nil || q.vq.InFlight() == 0 {
		return
	}
	q.armed = true
	d := min(q.d.opt.Timeout, lookEvery)
	if q.timer == nil {
		q.timer = q.d.opt.Clock.AfterFunc(d, q.lookForStalled)
	} else {
		q.timer.Reset(d)
	}
}

// stopTimer stops the timer when the device has ended, with mu held.
func (q *queue) stopTimer() {
	if q.armed {
		q.timer.Stop()
		q.armed = false
	}
}

// stall is one call of Options.Stalled.
type stall struct {
	op             Op
	offset, length int64
	age            time.Duration
}

// lookForStalled is called when the timer fires. It sets it again while the device
// holds a part that is not too old.
func (q *queue) lookForStalled() {
	q.mu.Lock()
	late, oldest := q.tellStalled(q.d.opt.Clock.Now())
	q.armed = q.err == nil && oldest >= 0
	if q.armed {
		q.timer.Reset(min(q.d.opt.Timeout-oldest, lookEvery))
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
