//go:build tamago

package runtime

import (
	"internal/runtime/yolk/clock"
	"unsafe"
)

// The clock is the time stamp counter. Its rate comes from CPUID or kvmclock
// where the hypervisor tells it, else from the PIT: a first estimate over half
// a millisecond, then a better one when a few tens of milliseconds have passed
// anyway. Timers are the local APIC's one-shot timer. The arithmetic is package
// clock's.

// machClockParams are what time is read with. machClockGettime does so without a lock;
// seq is odd while they change.
type machClockParams struct {
	seq  uint64
	rate clock.Rate
	wall uint64 // Unix time at boot, ns

	hasRTC    bool
	nextCheck int64  // when the wall clock is compared again (nanotime)
	compared  int64  // when it was compared last
	off       int64  // by how much the real-time clock was ahead then (s), ahead aside
	ahead     uint64 // of the real-time clock, because the program has set the time
}

// Offsets for machClockGettime.
const (
	rateTSC  = unsafe.Offsetof(clock.Rate{}.TSC)
	rateMult = unsafe.Offsetof(clock.Rate{}.Mult)
	rateNS   = unsafe.Offsetof(clock.Rate{}.NS)
)

// machClock starts with a rate of 1 GHz and a seq that keeps it out of BSS.
var machClock = machClockParams{seq: 2, rate: clock.Rate{Mult: 1 << 32}}

// machNow returns nanoseconds since boot.
func machNow() int64 { return int64(machClock.rate.At(rdtsc())) }

// setRate changes the clock's rate from now on, without a step.
func (c *machClockParams) setRate(mult uint64) {
	c.seq++
	c.rate.Change(rdtsc(), mult)
	c.seq++
}

// setWall sets the Unix time at boot.
func (c *machClockParams) setWall(ns uint64) {
	c.seq++
	c.wall = ns
	c.seq++
}

// machTimer is what the CPUs' one-shot timers have in common.
type machTimer struct {
	rates    clock.Rates
	deadline bool         // the timer compares with the TSC
	profile  int64        // ITIMER_PROF interval (ns), 0: off
	pit      clock.Sample // start of the calibration, until it is refined
	refines  int
}

const maxTimerNanos = 1e9 // a longer wait takes several interrupts

// setTimer makes this CPU's timer fire at when, unless it fires earlier anyway.
func (c *machCPU) setTimer(when int64) {
	if c.armed != 0 && c.armed <= when {
		return
	}
	t := &mach.timer
	d := when - machNow()
	if d > maxTimerNanos {
		d = maxTimerNanos
		when = machNow() + d
	}
	c.armed = when
	if t.deadline {
		wrmsr(msrDeadline, rdtsc()+clock.Scale(uint64(max(d, 0)), t.rates.TSC))
		return
	}
	apicWrite(apicTimerInit, clock.Ticks(d, t.rates.APIC))
}

// startProfile sets the profiling interval, 0 for none. Each CPU arms its timer
// when it next leaves the machine half.
func (t *machTimer) startProfile(interval int64) {
	t.profile = interval
	for _, c := range mach.smp.cpus() {
		c.profileNext = machNow() + interval
		if c.cur == c.idle {
			c.profileNext = c.since + interval
		}
		if interval != 0 && c.user != 0 {
			c.kick()
		}
	}
}

// profileTick sends SIGPROF to the thread that ran when a profiling interval
// ended. Time that the CPU idles is not part of the interval: account puts its end
// off.
func (c *machCPU) profileTick(now int64) {
	interval := mach.timer.profile
	if interval == 0 || now < c.profileNext || c.cur == c.idle {
		return
	}
	if c.profileNext += interval; c.profileNext <= now {
		c.profileNext = now + interval // late by more than one
	}
	if c.cur.state == threadRunning {
		sendSignal(c.cur, _SIGPROF, _SI_KERNEL, 0)
	}
}

// The PIT (Intel 8254), channel 0.
const (
	pitData    = 0x40
	pitCommand = 0x43
)

// startPIT makes the PIT count down from 65535.
func startPIT() {
	outb(pitCommand, 0x30) // channel 0, mode 0: counts down once, no ticks after
	outb(pitData, 0xff)
	outb(pitData, 0xff)
}

// samplePIT reads the PIT between two reads of the TSC and takes the tightest
// of n tries, so that a pause of the virtual CPU does not count.
func samplePIT(n int) clock.Sample {
	best := clock.Sample{}
	width := ^uint64(0)
	for i := 0; i < n; i++ {
		a := rdtsc()
		outb(pitCommand, 0) // latch channel 0
		b := rdtsc()
		apic := apicRead(apicTimerNow)
		lo := inb(pitData)
		hi := inb(pitData)
		if b-a < width {
			width = b - a
			best = clock.Sample{PIT: uint16(lo) | uint16(hi)<<8, TSC: a + (b-a)/2, APIC: apic}
		}
	}
	return best
}

// machClockInit starts the clock and the timer.
func machClockInit() {
	machClock.rate.TSC = rdtsc()
	apicWrite(apicTimerInit, ^uint32(0))
	hz := tscFromCPUID()
	startPIT()
	start := samplePIT(4)
	end := start
	const want = clock.PITHz / 2000
	for spins := 0; start.PIT-end.PIT < want; spins++ {
		if end = samplePIT(1); spins == 1<<20 {
			machFatal("the PIT does not count, and CPUID does not tell the TSC rate", uintptr(end.PIT))
		}
	}
	end = samplePIT(4)
	t := &mach.timer
	t.rates = clock.Calibrate(&start, &end, hz)
	machClock.rate.Mult = t.rates.Clock
	if hz == 0 {
		t.pit = start
	}
	if t.rates.APIC == 0 && !t.deadline {
		machFatal("the local APIC timer does not count", 0)
	}
	apicWrite(apicTimerInit, 0)
}

// machClockRefine measures the TSC's rate again once the PIT has counted far
// enough for 1 part in 10,000, and before it wraps (55 ms).
func machClockRefine() {
	t := &mach.timer
	if t.pit.TSC == 0 {
		return
	}
	const tooLate, enough = 50e6, 15e6
	since := clock.Scale(rdtsc()-t.pit.TSC, machClock.rate.Mult)
	if since < enough {
		return
	}
	start := t.pit
	t.pit.TSC = 0
	if since > tooLate {
		// The first chance came late; take a fresh start for the next one.
		startPIT()
		t.pit = samplePIT(4)
		if t.refines++; t.refines > 8 {
			t.pit.TSC = 0
		}
		return
	}
	end := samplePIT(4)
	machClock.setRate(clock.Calibrate(&start, &end, 0).Clock)
}

// tscFromCPUID returns the TSC's rate in Hz where the CPU or the hypervisor
// tells it, else 0.
func tscFromCPUID() uint64 {
	if top, _, _, _ := machCPUID(0, 0); top >= 0x15 {
		if den, num, crystal, _ := machCPUID(0x15, 0); den != 0 && num != 0 && crystal != 0 {
			return uint64(crystal) * uint64(num) / uint64(den)
		}
	}
	if _, _, c, _ := machCPUID(1, 0); c>>31 != 0 { // a hypervisor
		if top, _, _, _ := machCPUID(0x40000000, 0); top >= 0x40000010 && top < 0x40010000 {
			khz, _, _, _ := machCPUID(0x40000010, 0)
			return uint64(khz) * 1000
		}
	}
	return kvmclockRate()
}
