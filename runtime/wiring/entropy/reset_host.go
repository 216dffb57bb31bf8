//go:build !yolk

package entropy

import "github.com/yolk-unikernel/yolk/runtime/wiring"

// A machine that a test starts has devices of its own.
func init() { wiring.OnHostStart(func() { answers.dev = nil }) }
