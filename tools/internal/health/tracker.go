package health

import "time"

// States of a program.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Settings are those of a check.
type Settings struct {
	Interval time.Duration // between two checks
	Retries  int           // failures in a row that make a program unhealthy
	Start    time.Duration // after the VM's start, in which failures do not count
}

// Defaults are the settings without flags.
var Defaults = Settings{Interval: 10 * time.Second, Retries: 3, Start: 10 * time.Second}

// startInterval is the time between checks until the first success: a user waits for it.
const startInterval = time.Second

// Tracker makes a state of the outcomes of checks.
type Tracker struct {
	Settings
	began    time.Time
	state    string
	failures int
}

// NewTracker begins with a VM that was started at that time.
func NewTracker(s Settings, began time.Time) *Tracker {
	return &Tracker{Settings: s, began: began, state: Starting}
}

// State is one of the states.
func (t *Tracker) State() string { return t.state }

// Wait is how long to wait before the next check.
func (t *Tracker) Wait() time.Duration {
	if t.state == Starting {
		return min(t.Interval, startInterval)
	}
	return t.Interval
}

// Timeout is how long a check may take.
func (t *Tracker) Timeout() time.Duration { return max(t.Interval, startInterval) }

// Add takes the outcome of a check at a time.
func (t *Tracker) Add(now time.Time, err error) {
	if err == nil {
		t.state, t.failures = Healthy, 0
		return
	}
	if t.state == Starting && now.Sub(t.began) < t.Start {
		return
	}
	if t.failures++; t.failures >= t.Retries {
		t.state = Unhealthy
	}
}
