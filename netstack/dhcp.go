package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"
)

// dhcpClient keeps one card's lease: RFC 2131 §4.4. It omits what only costs boot time: the
// random delay of 1 to 10 s before the first message (§4.4.1) and the ARP probe of the offered
// address (§4.4.1, a SHOULD).
type dhcpClient struct {
	s    *Stack
	link *Link

	started time.Time
	replies chan dhcpReply
	again   chan struct{} // the lease is to be renewed at once; has room for one
}

type dhcpReply struct {
	msg  *dhcpMessage
	from peerAddr
}

// Retransmission (RFC 2131 §4.1) doubles the interval, randomised by a second either way. The
// first interval is shorter than the RFC's 4 s, because the first message is often lost, by a
// bridge that is still learning or an interface that is not up yet.
const (
	dhcpFirstRetry = 500 * time.Millisecond
	dhcpMaxRetry   = 64 * time.Second
	dhcpOfferWait  = 4 // transmissions of a request before the client starts again
	dhcpMinLease   = 10 * time.Second
	dhcpMinRenew   = 60 * time.Second // §4.4.5
)

var errNoOffer = errors.New("dhcp: no answer")

func newDHCPClient(s *Stack, l *Link) *dhcpClient {
	return &dhcpClient{s: s, link: l, replies: make(chan dhcpReply, 4), again: make(chan struct{}, 1)}
}

// acquire gets a lease (INIT to BOUND); ctx ends it.
func (c *dhcpClient) acquire(ctx context.Context) (*lease, peerAddr, error) {
	c.started = time.Now()
	c.listen()
	defer c.link.setTap(nil)
	for {
		offer, err := c.exchange(ctx, c.query(dhcpDiscover), peerAddr{}, 0, dhcpOffer)
		if err != nil {
			return nil, peerAddr{}, err
		}
		q := c.query(dhcpRequest)
		q.xid = offer.msg.xid
		q.requested, q.server = offer.msg.yourIP, offer.msg.server
		ack, err := c.exchange(ctx, q, peerAddr{}, dhcpOfferWait, dhcpAck, dhcpNak)
		switch {
		case ctx.Err() != nil:
			return nil, peerAddr{}, ctx.Err()
		case err == nil && ack.msg.typ == dhcpAck:
			return &ack.msg.lease, ack.from, nil
		}
	}
}

// query makes a message with a new transaction id.
func (c *dhcpClient) query(typ byte) *dhcpQuery {
	secs := time.Since(c.started) / time.Second
	return &dhcpQuery{
		typ: typ, xid: c.random(), secs: uint16(min(secs, 0xffff)),
		mac: c.link.info.MAC, hostname: c.s.cfg.Hostname,
	}
}

func (c *dhcpClient) random() uint32 {
	var b [4]byte
	if r := c.s.cfg.Random; r != nil {
		if _, err := r.Read(b[:]); err == nil {
			return binary.NativeEndian.Uint32(b[:])
		}
	}
	return rand.Uint32()
}

// listen taps the card for answers. The tap runs on the card's goroutine and only parses.
func (c *dhcpClient) listen() {
	c.link.setTap(func(frame []byte) bool {
		from, b, ok := dhcpPayload(frame)
		if !ok {
			return false
		}
		if m, err := parseDHCP(b); err == nil && m.mac == c.link.info.MAC {
			select {
			case c.replies <- dhcpReply{m, from}:
			default: // more answers than a client can use
			}
		}
		return true
	})
}

// exchange sends q until an answer of one of the types arrives, at most tries times (0: no
// limit). If to is zero, it broadcasts.
func (c *dhcpClient) exchange(ctx context.Context, q *dhcpQuery, to peerAddr, tries int, types ...byte) (dhcpReply, error) {
	if !to.ip.IsValid() {
		to = broadcastPeer
	}
	retry := dhcpFirstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return dhcpReply{}, ctx.Err()
		case r := <-c.replies:
			if r.answers(q, types) {
				return r, nil
			}
		case <-timer.C:
			if tries > 0 && n == tries {
				return dhcpReply{}, errNoOffer
			}
			n++
			c.send(q, to)
			timer.Reset(retry + rand.N(retry/4))
			retry = min(2*retry, dhcpMaxRetry)
		}
	}
}

// answers reports whether a message is a usable answer to q.
func (r *dhcpReply) answers(q *dhcpQuery, types []byte) bool {
	m := r.msg
	if m.xid != q.xid {
		return false
	}
	for _, t := range types {
		if m.typ == t {
			return t == dhcpNak || m.server.IsValid() && usable(m.yourIP)
		}
	}
	return false
}

// usable refuses addresses that no host can have.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a.As4() != [4]byte{255, 255, 255, 255}
}

func (c *dhcpClient) send(q *dhcpQuery, to peerAddr) {
	frame := dhcpFrame(c.link.info.MAC, q.clientIP, to, q.encode())
	if err := c.s.stack.WriteRawPacket(c.link.id, 0, frame); err != nil {
		c.s.log("dhcp: send: ", err.String())
	}
}

// keep renews the lease until ctx ends or the lease is lost (§4.4.5). Between exchanges it only
// has a timer, and none with a lease that does not expire.
func (c *dhcpClient) keep(ctx context.Context, l *lease, server peerAddr) error {
	for {
		bound := time.Now()
		end := bound.Add(max(l.duration, dhcpMinLease))
		renew := bound.Add(max(min(l.renew, l.duration), dhcpMinLease/2))
		rebind := bound.Add(max(min(l.rebind, l.duration), dhcpMinLease*3/4))
		if l.duration == infiniteLease {
			renew, rebind = time.Time{}, end
		}
		switch c.rest(ctx, renew) {
		case restEnded:
			return ctx.Err()
		case restAgain: // the network, and its server, may be another: any may answer
			rebind = time.Now()
		}
		next, from, err := c.extend(ctx, l, server, rebind, end)
		if err != nil {
			return err
		}
		c.s.applyLease(c.link, next, l)
		l, server = next, from
	}
}

// extend renews the lease with the server, from rebind on with any server.
func (c *dhcpClient) extend(ctx context.Context, l *lease, server peerAddr, rebind, end time.Time) (*lease, peerAddr, error) {
	c.started = time.Now()
	c.listen()
	defer c.link.setTap(nil)
	for {
		now := time.Now()
		deadline, to := rebind, server
		if !now.Before(rebind) {
			deadline, to = end, broadcastPeer
		}
		if !now.Before(end) {
			return nil, peerAddr{}, errNoOffer
		}
		q := c.query(dhcpRequest)
		q.clientIP = l.addr.Addr()
		// One request per half of the time left, but not more than one a minute.
		wait := max(deadline.Sub(now)/2, min(dhcpMinRenew, deadline.Sub(now)))
		sub, cancel := context.WithTimeout(ctx, wait)
		r, err := c.exchange(sub, q, to, dhcpOfferWait, dhcpAck, dhcpNak)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, peerAddr{}, ctx.Err()
		case err == nil && r.msg.typ == dhcpNak:
			return nil, peerAddr{}, errNoOffer
		case err == nil:
			return &r.msg.lease, r.from, nil
		}
		if !sleepUntil(ctx, now.Add(wait)) {
			return nil, peerAddr{}, ctx.Err()
		}
	}
}

// What ends a rest.
type restEnd int

const (
	restOver  restEnd = iota // the time has come
	restAgain                // the lease is to be renewed before
	restEnded                // the client ends
)

// rest waits until t, or without end if t is zero.
func (c *dhcpClient) rest(ctx context.Context, t time.Time) restEnd {
	var over <-chan time.Time
	if !t.IsZero() {
		timer := time.NewTimer(time.Until(t))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return restOver
	case <-c.again:
		return restAgain
	case <-ctx.Done():
		return restEnded
	}
}

// sleepUntil returns false if ctx ended first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
