package kernel

import (
	"runtime"
	"sync"
	"syscall"
)

// A countdown is a timer of one of the kernel's clocks: what timerfd_create(2),
// setitimer(2) and timer_create(2) have in common. An absolute time of CLOCK_REALTIME
// moves with that clock when it is set.
type countdown struct {
	k     *Kernel
	clock int    // of absolute times: clockRealtime, clockMonotonic or one of CPU time
	ring  func() // called without mu, perhaps for nothing: take tells
	moved Waiter // of Kernel.clockSet

	mu       sync.Mutex
	at       int   // the clock of next
	next     int64 // time of the next expiry; 0: not armed
	interval int64
	expired  uint64 // how often since take
	timer    alarm
	setting  uint64 // counts changes, so that an old alarm does nothing
}

// itimerspec is struct itimerspec.
type itimerspec struct{ interval, value syscall.Timespec }

// init names the clock, by the number that a program uses, and what to call.
func (c *countdown) init(k *Kernel, clock int, ring func()) {
	c.k, c.ring = k, ring
	switch clock {
	case clockRealtime, clockRealtimeAlarm, clockTAI:
		c.clock = clockRealtime
		if c.moved.Notify == nil {
			c.moved.Notify = c.clockMoved
		}
		k.clockSet.Add(&c.moved)
	case clockMonotonic, clockBoottime, clockBoottimeAlarm:
		c.clock = clockMonotonic
	default:
		c.clock = clock
	}
}

// close ends it; the alarm may still ring once.
func (c *countdown) close() {
	c.mu.Lock()
	c.disarm()
	c.mu.Unlock()
	if c.clock == clockRealtime {
		c.k.clockSet.Remove(&c.moved)
	}
}

// disarm stops the timer. mu is held.
func (c *countdown) disarm() {
	if c.timer.stop != nil {
		c.timer.stop()
	}
	c.timer, c.next = alarm{}, 0
	c.setting++
}

// minCPUStep is how often at most the clocks of CPU time are looked at (ns).
const minCPUStep = 1e6

// arm starts the alarm for c.next. mu is held. CPU time passes at most as fast as
// there are CPUs, and not at all while the program waits: then one alarm follows
// another.
func (c *countdown) arm() {
	now, _ := c.k.clock(c.at)
	d := c.next - now
	if isCPUClock(c.at) {
		d = max(d/int64(runtime.NumCPU()), minCPUStep)
	}
	setting := c.setting
	c.timer = afterFunc(d, func() { c.rang(setting) })
}

func (c *countdown) rang(setting uint64) {
	c.mu.Lock()
	if setting != c.setting {
		c.mu.Unlock()
		return
	}
	c.catchUp()
	if c.next != 0 {
		c.arm()
	}
	c.mu.Unlock()
	c.ring()
}

// clockMoved is called when the clock was set.
func (c *countdown) clockMoved(Events) {
	c.mu.Lock()
	if next := c.next; next != 0 && c.at == clockRealtime {
		c.disarm()
		c.next = next
		c.arm()
	}
	c.mu.Unlock()
}

// catchUp counts the expiries up to now: the goroutine that rang runs on may be
// late. mu is held.
func (c *countdown) catchUp() {
	if c.next == 0 {
		return
	}
	now, _ := c.k.clock(c.at)
	late := now - c.next
	if late < 0 {
		return
	}
	if c.interval == 0 {
		c.expired++
		c.next = 0
		return
	}
	n := late/c.interval + 1
	c.expired += uint64(n)
	c.next += n * c.interval
}

// take returns how often it has expired since the last time.
func (c *countdown) take() uint64 {
	c.mu.Lock()
	n := c.expired
	c.expired = 0
	c.mu.Unlock()
	return n
}

// get returns the time left and the interval (ns).
func (c *countdown) get() (value, interval int64) {
	c.mu.Lock()
	value, interval = c.left()
	c.mu.Unlock()
	return value, interval
}

// left is get with mu held.
func (c *countdown) left() (value, interval int64) {
	c.catchUp()
	if c.next != 0 {
		now, _ := c.k.clock(c.at)
		value = max(c.next-now, 1)
	}
	return value, c.interval
}

// set arms it for a time, or disarms it if that is 0, and returns what get did.
func (c *countdown) set(value, interval int64, absolute bool) (oldValue, oldInterval int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldValue, oldInterval = c.left()
	c.disarm()
	c.expired, c.interval = 0, interval
	if value == 0 {
		return
	}
	c.at = c.clock
	if !absolute {
		if c.at == clockRealtime {
			c.at = clockMonotonic
		}
		now, _ := c.k.clock(c.at)
		value += now
	}
	c.next = max(value, 1)
	c.arm()
	return
}

// nanos checks an itimerspec.
func (s *itimerspec) nanos() (value, interval int64, e syscall.Errno) {
	value, ok := nanos(s.value)
	interval, ok2 := nanos(s.interval)
	if !ok || !ok2 {
		e = syscall.EINVAL
	}
	return value, interval, e
}

func (s *itimerspec) fill(value, interval int64) {
	*s = itimerspec{interval: timespec(interval), value: timespec(value)}
}
