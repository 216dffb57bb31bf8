//go:build !yolk

package resume

import "github.com/yolk-unikernel/yolk/runtime/wiring"

// A machine that a test starts has a program of its own.
func init() { wiring.OnHostStart(func() { program = wiring.Functions{} }) }
