//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	_ "unsafe" // for linkname
)

// yolk_signalWanted says whether the program has asked for a signal, or to ignore
// it; otherwise one from outside ends it (see sigsend and signal_ignore).
//
//go:linkname yolk_signalWanted runtime/yolk/wiring.signalWanted
func yolk_signalWanted(s uint32) bool {
	word, bit := s/32, uint32(1)<<(s&31)
	return s < _NSIG && (atomic.Load(&sig.wanted[word])|atomic.Load(&sig.ignored[word]))&bit != 0
}

// panicHook is called before a panic that nobody recovers ends the program; nil if
// there is nothing to do. It is set once, before the program runs.
var panicHook func()

// beforePanic runs where the Error methods of a panic's value do: on its goroutine,
// while others still run.
func beforePanic() {
	if panicHook != nil {
		panicHook()
	}
}

//go:linkname yolk_setPanicHook runtime/yolk/wiring.setPanicHook
func yolk_setPanicHook(f func()) { panicHook = f }
