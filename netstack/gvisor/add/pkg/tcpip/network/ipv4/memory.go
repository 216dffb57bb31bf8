//go:build yolk

package ipv4

// SetFragmentLimits bounds the memory of incomplete datagrams: above high bytes, the oldest are
// given up until low bytes are left.
func (p *protocol) SetFragmentLimits(high, low int) { p.fragmentation.SetLimits(high, low) }
