//go:build !tamago

package runtime

// isSystemFunc is what isSystemGoroutine asks upstream.
func isSystemFunc(name string) bool { return len(name) >= 8 && name[:8] == "runtime." }
