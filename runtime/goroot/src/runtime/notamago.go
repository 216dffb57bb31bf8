//go:build !tamago

package runtime

// isSystemFunc is what isSystemGoroutine asks upstream.
func isSystemFunc(name string) bool { return len(name) >= 8 && name[:8] == "runtime." }

// malgGuarded and freeGuarded are malg and stackfree upstream.
func malgGuarded[G any](malg func(int32) G, size int32) G { return malg(size) }
func freeGuarded[S any](stackfree func(S), stk S)         { stackfree(stk) }

// beforePanic has nothing to do upstream.
func beforePanic() {}

// writeHeld has nothing to write upstream.
func writeHeld() {}
