//go:build yolk

package tcpip

// SetForeign sets whether a socket may be bound to an address that the stack does not have:
// IP_FREEBIND and IP_TRANSPARENT, ip(7).
func (so *SocketOptions) SetForeign(v bool) { storeAtomicBool(&so.foreign, v) }

// Foreign returns what SetForeign has set.
func (so *SocketOptions) Foreign() bool { return so.foreign.Load() != 0 }
