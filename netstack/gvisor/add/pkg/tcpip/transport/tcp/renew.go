//go:build yolk

package tcp

import (
	"io"
	"sync/atomic"
)

// secrets are what initial sequence numbers (RFC 6528) and timestamps (RFC 7323 §5.4) are
// made of.
type secrets struct{ seqnum, tsOffset [16]byte }

// renewal has the secrets that have taken the place of the protocol's first ones, or nil.
type renewal = atomic.Pointer[secrets]

// secrets returns those of connections that begin now.
func (p *protocol) secrets() secrets {
	if s := p.renewed.Load(); s != nil {
		return *s
	}
	return secrets{p.seqnumSecret, p.tsOffsetSecret}
}

// RenewSecrets takes new secrets from rng. Connections keep what they have.
func (p *protocol) RenewSecrets(rng io.Reader) error {
	s := &secrets{}
	for _, b := range [][]byte{s.seqnum[:], s.tsOffset[:]} {
		if _, err := io.ReadFull(rng, b); err != nil {
			return err
		}
	}
	p.renewed.Store(s)
	return nil
}
