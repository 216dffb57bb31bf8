//go:build yolk

package tcpip

// maxQueuedErrors bounds the errors that a socket with IP_RECVERR keeps for its program. Linux
// counts them against the receive buffer, of which 64 take a quarter.
const maxQueuedErrors = 64

// queueErr appends an error unless there are too many.
//
// +checklocks:so.errQueueMu
func (so *SocketOptions) queueErr(err *SockError) {
	n := 0
	for e := so.errQueue.Front(); e != nil; e = e.Next() {
		n++
	}
	if n < maxQueuedErrors {
		so.errQueue.PushBack(err)
	}
}
