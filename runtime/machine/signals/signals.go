// Package signals is the arithmetic of signal sets, as signal(7), sigprocmask(2) and
// kernel/signal.c of Linux have it, for machine_signal.go of package runtime. A set has
// a bit for each of the 64 signals, that of signal 1 first.
package signals

import "math/bits"

// Numbers of <asm/signal.h>.
const (
	quit  = 3
	ill   = 4
	trap  = 5
	abrt  = 6
	bus   = 7
	fpe   = 8
	kill  = 9
	segv  = 11
	chld  = 17
	cont  = 18
	stop  = 19
	urg   = 23
	xcpu  = 24
	xfsz  = 25
	prof  = 27
	winch = 28
	sys   = 31
)

const (
	// Unblockable are the signals that no mask may have: SIGKILL and SIGSTOP.
	Unblockable uint64 = 1<<(kill-1) | 1<<(stop-1)

	ignored     = 1<<(chld-1) | 1<<(urg-1) | 1<<(winch-1) | 1<<(cont-1)
	synchronous = 1<<(segv-1) | 1<<(bus-1) | 1<<(ill-1) | 1<<(trap-1) | 1<<(fpe-1) | 1<<(sys-1)
	dumping     = synchronous | 1<<(quit-1) | 1<<(abrt-1) | 1<<(xcpu-1) | 1<<(xfsz-1)
)

// Bit returns the set of one signal, from 1 to 64.
func Bit(sig uint32) uint64 { return 1 << ((sig - 1) % 64) }

// First returns the signal of a set, which is not empty, that is delivered first. A fault
// comes before all others, as its address belongs to the instruction at hand; then a
// profile's sample, which a preemption (SIGURG) would move.
func First(set uint64) uint32 {
	if faults := set & synchronous; faults != 0 {
		set = faults
	} else if set&(1<<(prof-1)) != 0 {
		return prof
	}
	return uint32(bits.TrailingZeros64(set)) + 1
}

// How sigprocmask(2) changes a mask.
const (
	Block   = 0
	Unblock = 1
	SetMask = 2
)

// Change returns a thread's mask after sigprocmask(2) with the given set; false if there
// is no such change.
func Change(mask uint64, how uintptr, set uint64) (uint64, bool) {
	switch how {
	case Block:
		set |= mask
	case Unblock:
		set = mask &^ set
	case SetMask:
	default:
		return mask, false
	}
	return set &^ Unblockable, true
}

// An Action is what a signal does to a program that has not said what it wants.
type Action int

const (
	End Action = iota
	Core
	Ignore
)

// Default returns the default action. Signals that would stop the process end it: there
// is nobody who could make it go on.
func Default(sig uint32) Action {
	switch b := Bit(sig); {
	case b&ignored != 0:
		return Ignore
	case b&dumping != 0:
		return Core
	}
	return End
}
