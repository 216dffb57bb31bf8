//go:build tamago

package tcp

// processInline handles the queued segments of a connected endpoint on the goroutine that
// received them, and reports whether nothing is left for a processor to do. It never waits: an
// endpoint that is locked (by a processor, a timer or, over the loopback device, a sender
// further up this stack) is left to a processor or to UnlockUser.
func processInline(ep *Endpoint) bool {
	state := ep.EndpointState()
	if !state.connected() || state == StateTimeWait {
		return false
	}
	handleConnected(ep)
	return ep.segmentQueue.empty() || ep.isOwnedByUser()
}
