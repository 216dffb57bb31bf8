//go:build yolk

package tcp

// processInline handles the queued segments of an endpoint that is connected or listens on the
// goroutine that received them, and reports whether nothing is left for a processor to do. It
// never waits: an endpoint that is locked (by a processor, a timer or, over the loopback device,
// a sender further up this stack) is left to a processor or to UnlockUser.
func processInline(ep *Endpoint) bool {
	switch state := ep.EndpointState(); {
	case state == StateListen:
		handleListen(ep)
	case state.connected() && state != StateTimeWait:
		handleConnected(ep)
	default:
		return false
	}
	return ep.segmentQueue.empty() || ep.isOwnedByUser()
}
