package blk_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// clock is a clock with one timer, for tests.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	f     func()
	at    time.Time // zero: not armed
	set   int
	fired int
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) AfterFunc(d time.Duration, f func()) blk.Timer {
	c.f = f
	c.Reset(d)
	return c
}

func (c *clock) Stop() bool { c.mu.Lock(); defer c.mu.Unlock(); c.at = time.Time{}; return true }

func (c *clock) Reset(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.now.Add(d)
	c.set++
	return true
}

func (c *clock) armed() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.at.IsZero() }

// advance lets time pass, and the timer fire.
func (c *clock) advance(d time.Duration) {
	end := c.now.Add(d)
	for !c.at.IsZero() && !c.at.After(end) {
		c.now, c.at = c.at, time.Time{}
		c.fired++
		c.f()
	}
	c.now = end
}

func TestStalled(t *testing.T) {
	var told []string
	clk := &clock{now: time.Unix(1000, 0)}
	c := configuration()
	c.SegMax = 1
	d := newDisk(t, modern, c, blk.Options{Timeout: 10 * time.Second, Clock: clk,
		Stalled: func(op blk.Op, offset, length int64, age time.Duration) {
			told = append(told, fmt.Sprint(op, offset, length, age))
		}}, 64)
	hold := true
	d.Intercept = func(*virtiotest.Queue, *virtiotest.Chain) bool { return hold }
	submit := func(op blk.Op, offset int64, n int) {
		d.Submit(0, &blk.Request{Op: op, Offset: offset, Buffers: [][]byte{d.mem.Buffer(0, n)}, Done: func(*blk.Request) {}})
		d.Serve()
		d.HandleInterrupt()
	}
	expect := func(when string, armed bool, want ...string) {
		t.Helper()
		if fmt.Sprint(told) != fmt.Sprint(want) || clk.armed() != armed {
			t.Errorf("%s: told %q, timer armed %v; want %q, %v", when, told, clk.armed(), want, armed)
		}
		told = nil
	}
	expect("at the start", false)
	hold = false
	submit(blk.Read, 0, 512)
	expect("after a request that was answered", true)
	clk.advance(time.Second)
	expect("a second after it", false)
	hold = true
	submit(blk.Write, 4096, 8192) // two parts
	clk.advance(4 * time.Second)
	submit(blk.Read, 0, 512)
	clk.advance(5 * time.Second)
	expect("after 9 s", true)
	clk.advance(time.Second)
	expect("after 10 s", true, "write 4096 8192 10s")
	clk.advance(4 * time.Second)
	expect("after 14 s", false, "read 0 512 10s")
	clk.advance(time.Hour)
	if clk.fired > 1+140+1 {
		t.Errorf("the timer has fired %d times in 14 s", clk.fired)
	}
	// What was reported is still under way, and a new request is watched too.
	submit(blk.Read, 512, 512)
	expect("after one more", true)
	clk.advance(10 * time.Second)
	expect("10 s later", false, "read 512 512 10s")
}

// The request goes on and can still be answered; the end stops the timer.
func TestStalledAnswered(t *testing.T) {
	clk := &clock{now: time.Unix(1000, 0)}
	stalled, done := 0, 0
	d := newDisk(t, modern, configuration(), blk.Options{Clock: clk,
		Stalled: func(op blk.Op, offset, length int64, age time.Duration) {
			if age != 30*time.Second {
				t.Errorf("stalled after %v; want 30s", age)
			}
			stalled++
		}}, 64)
	r := &blk.Request{Buffers: [][]byte{d.mem.Buffer(0, 512)}, Done: func(r *blk.Request) {
		if r.Err != nil {
			t.Error(r.Err)
		}
		done++
	}}
	for range 2 {
		d.Submit(0, r)
		clk.advance(time.Minute)
		d.Serve()
		d.HandleInterrupt()
	}
	if stalled != 2 || done != 2 || clk.armed() {
		t.Errorf("stalled %d, done %d, timer armed %v; want 2, 2, false", stalled, done, clk.armed())
	}
	// A busy device costs a timer ten times a second, not for each request.
	clk.fired, clk.set = 0, 0
	r.Done = func(*blk.Request) {}
	for range 1000 {
		d.Submit(0, r)
		d.Serve()
		d.HandleInterrupt()
		clk.advance(time.Millisecond)
	}
	if clk.set > 10 || clk.fired > 10 {
		t.Errorf("1000 requests in a second set the timer %d times, and it fired %d times; want 10", clk.set, clk.fired)
	}
	clk.advance(time.Second)
	d.Submit(0, r)
	if !clk.armed() {
		t.Error("timer is not armed for a request under way")
	}
	if d.Close(); clk.armed() {
		t.Error("timer is armed after Close")
	}
}
