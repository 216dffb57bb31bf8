// Package clock is the arithmetic of clocks: time stamp counters as nanoseconds,
// nanoseconds as ticks of timers, the calibration of both, and the PC's calendar.
// machine_time.go and machine_rtc.go of package runtime read the registers.
//
// Factors are 32.32 fixed point: 1<<32 is one.
package clock

import "math/bits"

// Scale returns n*factor.
func Scale(n, factor uint64) uint64 {
	hi, lo := bits.Mul64(n, factor)
	return hi<<32 | lo>>32
}

// Factor returns the factor that makes a of b, the largest there is if that does not fit.
func Factor(a, b uint64) uint64 {
	if a>>32 >= b {
		return ^uint64(0)
	}
	q, _ := bits.Div64(a>>32, a<<32, b)
	return q
}

// A Rate turns values of the TSC into nanoseconds since boot: NS at TSC, and Mult for
// each tick from then on.
type Rate struct {
	TSC  uint64
	Mult uint64
	NS   uint64
}

// At returns the nanoseconds at a value of the TSC, which is not before r.TSC.
func (r *Rate) At(tsc uint64) uint64 { return Scale(tsc-r.TSC, r.Mult) + r.NS }

// Change changes the rate from a value of the TSC on, without a step.
func (r *Rate) Change(tsc, mult uint64) {
	*r = Rate{tsc, mult, r.At(tsc)}
}

// Ticks returns how many ticks of a timer make d nanoseconds, by its ticks for each: at
// least one, as a timer that is set to 0 is off, and at most what its register takes.
func Ticks(d int64, factor uint64) uint32 {
	if d <= 0 {
		return 1
	}
	return uint32(min(max(Scale(uint64(d), factor), 1), 1<<32-1))
}

// Nanos returns a struct timespec in nanoseconds, at least 1 and at most 285 years.
func Nanos(sec, nsec int64) int64 {
	const most = 9e9
	if sec > most {
		return most * 1e9
	}
	if sec < 0 {
		return 1
	}
	return max(sec*1e9+nsec, 1)
}

// PITHz is the rate of the PC's interval timer (Intel 8254).
const PITHz = 1193182

// A Sample is a reading of the interval timer, the TSC and the local APIC's timer at one
// moment.
type Sample struct {
	PIT  uint16 // counts down
	TSC  uint64
	APIC uint32 // counts down
}

// Since returns how long after start the interval timer says that s was taken: less than
// its turn of 55 ms.
func (s *Sample) Since(start *Sample) (ns uint64) {
	return uint64(start.PIT-s.PIT) * 1e9 / PITHz
}

// Rates are what a calibration finds.
type Rates struct {
	Clock uint64 // ns for each tick of the TSC
	TSC   uint64 // ticks of the TSC for each ns
	APIC  uint64 // ticks of the local APIC's timer for each ns
}

// Calibrate compares two samples. hz is the TSC's rate if it is known, else 0 and the
// interval timer is what is relied upon.
func Calibrate(start, end *Sample, hz uint64) Rates {
	ticks := end.TSC - start.TSC
	ns := end.Since(start)
	clock := Factor(ns, ticks)
	if hz != 0 {
		clock = Factor(1e9, hz)
		ns = Scale(ticks, clock)
	}
	return Rates{clock, Factor(ticks, ns), Factor(uint64(start.APIC-end.APIC), ns)}
}

// KVMHz returns the TSC's rate that struct pvclock_vcpu_time_info tells, whose
// nanoseconds are ticks<<shift * mul>>32 (Documentation/virt/kvm/x86/msr.rst); 0 if it
// tells none.
func KVMHz(mul uint32, shift int8) uint64 {
	if mul == 0 {
		return 0
	}
	hz := uint64(1e9) << 32 / uint64(mul)
	if shift < 0 {
		return hz << uint(-shift)
	}
	return hz >> uint(shift)
}
