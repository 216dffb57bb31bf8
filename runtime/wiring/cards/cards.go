// Package cards gives the program network cards to itself, without a stack: the
// implementation of NICs and OpenNIC of the module's package runtime, which finds it by
// a linkname. A program that calls these carries it, and drivers/virtio/net; it knows nothing
// of package net, and takes a card from its stack through devices.Device.Claim.
//
// What the two sides say to each other are methods whose types both know without
// sharing a package: package runtime asserts that a card has them, so that a program
// and a toolchain of different versions end in an error and not in a crash.
//
// Start reading at List, then Card.Receive (rx.go) and Card.Send (tx.go).
package cards

import (
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for linkname

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

// Frame is package runtime's Frame, with the names of all fields exported.
type Frame = struct {
	Data           []byte
	More           [][]byte
	Flags          uint8
	GSO            uint8
	HeaderLen      uint16
	SegmentSize    uint16
	ChecksumStart  uint16
	ChecksumOffset uint16
	Done           func()
	Owner          any // *buffer of a received frame
}

// Error is the type of errors that package runtime has values of its own for.
type Error string

func (e Error) Error() string { return string(e) }

// NICError tells package runtime which one it is.
func (e Error) NICError() string { return string(e) }

// Errors that package runtime knows.
const (
	ErrClosed   = Error("closed")
	ErrBusy     = Error("busy")
	ErrDeadline = Error("deadline")
	ErrFrame    = Error("frame")
	ErrOffload  = Error("offload")
	ErrReleased = Error("released")
)

// List returns the machine's network cards, each a *Listed.
//
//go:linkname List
func List() []any {
	var list []any
	for _, c := range devices.Cards() {
		list = append(list, &Listed{c})
	}
	return list
}

// Listed is a card that may be open or not.
type Listed struct{ card devices.Card }

// Name returns its name, and where it is.
func (l *Listed) Name() (name, location string) { return l.card.Name, l.card.Location }

// User returns who has the card: "", "stack" or "program".
func (l *Listed) User() string { return l.card.User() }

// Info returns the card's address, zeros if it has none, and the largest payload of a
// frame in bytes.
func (l *Listed) Info() (mac [6]byte, mtu int, err error) {
	t, err := l.card.OpenShared()
	if err != nil {
		return mac, 0, err
	}
	info, err := virtionet.Probe(t)
	if err != nil {
		return mac, 0, err
	}
	return info.MAC, mtuOf(info), nil
}

func mtuOf(info virtionet.Info) int {
	if info.MTU == 0 {
		return 1500
	}
	return info.MTU
}

// Open makes the card the program's; the stack leaves it. buffers is how many
// receive buffers there are at the most; offload, that the card may leave work
// on received frames to the program. The result is a *Card.
func (l *Listed) Open(buffers int, offload bool) (any, error) {
	err := l.card.Claim(devices.Program, nil)
	if err == devices.ErrBusy {
		return nil, ErrBusy
	}
	if err != nil {
		return nil, err
	}
	c, err := l.open(buffers, offload)
	if err != nil {
		l.card.Disclaim()
		return nil, err
	}
	l.card.Serve(c.dev.HandleInterrupt)
	return c, nil
}

func (l *Listed) open(buffers int, offload bool) (*Card, error) {
	t, err := l.card.OpenShared()
	if err != nil {
		return nil, err
	}
	return newCard(t, machine{
		Memory:   devices.DMA{},
		noDMA:    wiring.NoDMA,
		waiting:  wiring.Waiting,
		disclaim: l.card.Disclaim,
	}, buffers, offload)
}

// machine is what a Card needs of its surroundings.
type machine struct {
	virtio.Memory
	noDMA    func(p []byte) bool
	waiting  func(delta int) // a goroutine waits for the device
	disclaim func()          // the card is nobody's again
}

// Card is a card that the program has open. Any number of goroutines may use it.
//
// Locks: sending, then those of the driver, then mu. The driver calls the methods of
// handler.go with locks of its own held: they do not call it.
type Card struct {
	m    machine
	dev  *virtionet.Device
	t    virtio.Transport
	size int // of a receive buffer, in bytes

	sending sync.Mutex // held by the one Send that gives the device frames
	pieces  [][]byte   // of the frame that it is at

	idle     virtio.IdleList[sent]
	inFlight atomic.Int64  // frames that the device has not given back
	writable atomic.Uint64 // how often there was room again

	mu       sync.Mutex // protects what follows
	received sync.Cond  // signalled when in grows, at the end, and at the deadline
	room     sync.Cond  // signalled when Send may go on, Flush may be done, and at the end
	in       ring       // received and not yet taken
	free     []*buffer
	made     int // buffers that exist
	most     int // and may exist
	starved  bool
	deadline time.Time
	timer    *time.Timer
	err      error // why the card is not at work

	stats struct{ received, receivedBytes, starved, sent, sentBytes, waits atomic.Uint64 }
}

// minBuffers is what the driver's rings hold at their largest.
const minBuffers = 256

func newCard(t virtio.Transport, m machine, buffers int, offload bool) (*Card, error) {
	info, err := virtionet.Probe(t)
	if err != nil {
		return nil, err
	}
	c := &Card{m: m, t: t, size: bufferSize(mtuOf(info)), most: max(buffers, minBuffers)}
	c.received.L, c.room.L = &c.mu, &c.mu
	c.in.frames = make([]Frame, c.most)
	var o virtionet.Options
	if !offload {
		o.Without = virtionet.FeatureGuestCsum | virtionet.FeatureGuestTSO4 | virtionet.FeatureGuestTSO6 | virtionet.FeatureMrgRxbuf
	}
	if c.dev, err = virtionet.New(t, m, handler{c}, o); err != nil {
		return nil, err
	}
	return c, nil
}

// Offloads returns what the card does for frames that are sent, and what it may leave
// to the program of those received.
func (c *Card) Offloads() (txChecksum, txTSO4, txTSO6, rxChecksum, rxTSO4, rxTSO6 bool) {
	o := c.dev.Info().Offloads
	return o.TxChecksum, o.TxTSO4, o.TxTSO6, o.RxChecksum, o.RxTSO4, o.RxTSO6
}

// LinkUp reports whether the link is up; always, if the card does not tell.
func (c *Card) LinkUp() bool { return c.dev.LinkUp() }

// Stats returns what has happened since Open: frames and bytes that were received, how
// often there was no buffer to receive into; frames and bytes that were sent, how often
// Send had to wait.
func (c *Card) Stats() (received, receivedBytes, starved, sent, sentBytes, waits uint64) {
	s := &c.stats
	return s.received.Load(), s.receivedBytes.Load(), s.starved.Load(), s.sent.Load(), s.sentBytes.Load(), s.waits.Load()
}

// stuck are cards whose device did not confirm its reset: it may write to their buffers
// for ever, so they are kept.
var stuck struct {
	sync.Mutex
	cards []*Card
}

// Close gives the card up. Receive, Send and Flush that wait return ErrClosed.
func (c *Card) Close() error {
	if !c.end(ErrClosed) {
		return ErrClosed
	}
	c.dev.Close()
	if c.t.Status() != 0 {
		stuck.Lock()
		stuck.cards = append(stuck.cards, c)
		stuck.Unlock()
		return virtio.ErrReset
	}
	c.m.disclaim()
	return nil
}

// why returns why the card is not at work, or else err.
func (c *Card) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return err
}

// end stops those that wait; false: the program has closed the card before.
func (c *Card) end(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == ErrClosed {
		return false
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
	}
	c.received.Broadcast()
	c.room.Broadcast()
	return true
}
