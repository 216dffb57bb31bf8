package kernel

import (
	"runtime"
	"sync"
	"syscall"
)

// A countdown is a timer of one of the kernel's clocks: the common part of
// timerfd_create(2), setitimer(2) and timer_create(2). An absolute time of
// CLOCK_REALTIME moves with that clock when it is set.
type countdown struct {
	k     *Kernel
	clock int    // clock of absolute times: clockRealtime, clockMonotonic or one of CPU time
	ring  func() // called after an expiry without mu; take may return 0 in it
	moved Waiter // waits on Kernel.clockSet

	mu       sync.Mutex
	at       int   // clock of next
	next     int64 // time of the next expiry; 0: not armed
	interval int64
	expired  uint64 // number of expiries since the last take
	timer    alarm
	setting  uint64 // counts changes, so that an alarm of an earlier setting does nothing
}

// itimerspec is struct itimerspec.
type itimerspec struct{ interval, value syscall.Timespec }

// init sets the clock, by the number that a program uses, and the function to call.
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

// close ends the timer; ring may be called once more.
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

// minCPUStep is the least time between two reads of a clock of CPU time (ns).
const minCPUStep = 1e6

// arm starts the alarm for c.next. mu is held. CPU time passes at most as fast as there are
// CPUs, and not at all while the program waits: then the alarm is started again.
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

// catchUp counts the expiries up to now: the goroutine of the alarm may run too late. mu is
// held.
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

// take returns how often the timer has expired since the last call.
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

// set arms the timer, or disarms it if value is 0, and returns what get would have returned.
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

// nanos converts an itimerspec; EINVAL.
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
