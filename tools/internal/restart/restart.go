// Package restart decides whether a VM that has ended is started again, and when: the policies of
// yolk run -restart, with waits that grow. Start with [Parse].
package restart

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// firstWait and longestWait bound the wait before a start. It doubles each time.
	firstWait   = 100 * time.Millisecond
	longestWait = time.Minute
	// enough is how long a VM must have run for its end not to count as a failure to start.
	enough = 10 * time.Second
)

// Policy is one of no, always, on-failure and on-failure:N. The zero value is no.
type Policy struct {
	always, onFailure bool
	most              int // starts in a row; 0 is any number
}

// Parse reads a policy.
func Parse(s string) (Policy, error) {
	switch s {
	case "no":
		return Policy{}, nil
	case "always":
		return Policy{always: true}, nil
	case "on-failure":
		return Policy{onFailure: true}, nil
	}
	if n, ok := strings.CutPrefix(s, "on-failure:"); ok {
		if most, err := strconv.Atoi(n); err == nil && most > 0 {
			return Policy{onFailure: true, most: most}, nil
		}
	}
	return Policy{}, fmt.Errorf("-restart %s: want no, on-failure, on-failure:N (at most N times in a row) or always", s)
}

func (p Policy) String() string {
	switch {
	case p.always:
		return "always"
	case p.onFailure && p.most > 0:
		return fmt.Sprintf("on-failure:%d", p.most)
	case p.onFailure:
		return "on-failure"
	}
	return "no"
}

// Counter counts the starts of one VM that follow each other.
type Counter struct {
	policy Policy
	row    int
}

// Counter returns a counter at zero.
func (p Policy) Counter() *Counter { return &Counter{policy: p} }

// Next reports whether a VM that has run for that long and has failed, or has not, is started again,
// and after which wait.
func (c *Counter) Next(lived time.Duration, failed bool) (wait time.Duration, again bool) {
	if lived >= enough {
		c.row = 0
	}
	p := c.policy
	if !p.always && !(p.onFailure && failed) || p.most > 0 && c.row >= p.most {
		return 0, false
	}
	wait = firstWait
	for i := 0; i < c.row && wait < longestWait; i++ {
		wait *= 2
	}
	c.row++
	return min(wait, longestWait), true
}
