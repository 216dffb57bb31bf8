//go:build yolk

package ipv6

import "sync/atomic"

// postponement is true if the next Enable is to do nothing.
type postponement = atomic.Bool

// Postpone keeps the endpoint disabled when its card is enabled; the next call of Enable
// enables it.
func (e *endpoint) Postpone() { e.postponed.Store(true) }
