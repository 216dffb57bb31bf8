package runtime

import (
	"errors"
	"os"
	"time"
)

// Errors of network cards.
var (
	// ErrNoNIC means that the machine has no network card of that name.
	ErrNoNIC = errors.New("no such network card")
	// ErrNICBusy means that the program has the card open already.
	ErrNICBusy = errors.New("the network card is open already")
	// ErrNICClosed means that the program has closed the card.
	ErrNICClosed = errors.New("the network card is closed")
	// ErrFrame means that a frame to be sent is shorter than Ethernet's header,
	// longer than the card's MTU allows, or in more pieces than the card takes.
	ErrFrame = errors.New("the network card cannot send a frame of that size")
	// ErrOffload means that a frame asks for work that the card does not do.
	ErrOffload = errors.New("the network card does not do what the frame's Offload asks for")
	// ErrReleased means that a received frame is not the program's any more.
	ErrReleased = errors.New("the frame was released or sent already")
	// errVersion: see machineCard.
	errVersion = errors.New("the program's package runtime and the toolchain are of different versions of yolk; build with the yolk command of the version in go.mod")
)

// A NICInfo is what NICs tells of a network card.
type NICInfo struct {
	// Name is such as "eth0". Cards are numbered in the order in which they were
	// found; the interfaces of package net have the same names.
	Name     string
	Location string  // where it is: see Device
	MAC      [6]byte // its address; zeros if it has none, and the program chooses one
	// MTU is the largest payload of a frame in bytes, without Ethernet's header;
	// 0 if the card cannot be used.
	MTU  int
	User NICUser
}

// A NICUser says who has a network card.
type NICUser string

// Who has a card.
const (
	NICFree    NICUser = ""        // nobody
	NICStack   NICUser = "stack"   // the network stack below package net
	NICProgram NICUser = "program" // the program, by OpenNIC
)

// NICs returns the machine's network cards; none on other systems. If the program uses
// package net, its stack has them all at first.
func NICs() []NICInfo {
	var list []NICInfo
	for _, m := range machineNICs(listNICs()) {
		list = append(list, infoOf(m))
	}
	return list
}

func infoOf(m machineNIC) NICInfo {
	i := NICInfo{User: NICUser(m.User())}
	i.Name, i.Location = m.Name()
	i.MAC, i.MTU, _ = m.Info()
	return i
}

// NICOptions change how a network card is opened; the zero value is good for a bridge.
type NICOptions struct {
	// Buffers is how many receive buffers there are at the most: those that the
	// card can fill, those with frames that Receive has not returned yet, and those
	// of frames that the program has or another card sends. 1024 if it is 0, 256 at
	// least. Each takes 2048 bytes, or the power of two that a frame needs.
	Buffers int
	// Offload allows the card to leave work on received frames to the program: it
	// may begin a checksum and not finish it, and join TCP segments to frames of up
	// to 64 KiB. Then Frame.Offload says so, and Frame.More may hold what does not
	// fit in one buffer. Without it, frames are as they were on the wire.
	Offload bool
}

// OpenNIC takes a network card for the program alone. If the stack of package net has
// it, the stack leaves it first: the card's interface, addresses and routes are gone,
// connections over it find no route, and it does not come back when the card is closed.
//
// The errors are ErrNotMachine, or an *os.PathError with ErrNoNIC, ErrNICBusy, or why
// the device cannot be used.
func OpenNIC(name string, o NICOptions) (*NIC, error) {
	if !Running() {
		return nil, ErrNotMachine
	}
	n, err := openNIC(machineNICs(listNICs()), name, o)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return n, nil
}

const defaultBuffers = 1024

func openNIC(list []machineNIC, name string, o NICOptions) (*NIC, error) {
	if o.Buffers == 0 {
		o.Buffers = defaultBuffers
	}
	for _, m := range list {
		if n, _ := m.Name(); n != name {
			continue
		}
		c, err := m.Open(o.Buffers, o.Offload)
		if err != nil {
			return nil, nicError(err)
		}
		card, ok := c.(machineCard)
		if !ok {
			return nil, errVersion
		}
		return &NIC{card: card, info: infoOf(m)}, nil
	}
	return nil, ErrNoNIC
}

// A NIC is a network card that the program has to itself. Any number of goroutines may
// use it. Nothing filters or answers: the program gets every frame that the host passes
// to the card, and the card has no IP address.
//
// Frames are not copied: those that Receive returns lie where the card has put them, and
// the card reads those that it sends where the program has them.
type NIC struct {
	card machineCard
	info NICInfo
}

// A Frame is an Ethernet frame: destination, source, type, payload; without the frame
// check sequence, and without padding.
type Frame struct {
	// Data is the frame, or its beginning. Of a received frame it is memory of its
	// card, which the program may change and shorten, until Release or Send.
	Data []byte
	// More are further pieces of the frame, in their order. A received frame has
	// them only with NICOptions.Offload.
	More [][]byte
	// Offload is what is left to do for the frame.
	Offload Offload
	// Done, if it is not nil, is called by Send's card once it does not read the
	// frame any more, and the memory is the program's again: see NIC.Send. Locks are
	// held: Done must not block, and not call a NIC.
	Done func()

	owner any // of a received frame: what Release gives back
}

// Offload is the work on a frame that its sender has left to a card, as in the header
// struct virtio_net_hdr (virtio 1.2 §5.1.6). Offsets and lengths are in bytes.
type Offload struct {
	Flags          uint8
	GSO            uint8  // kind of segmentation
	HeaderLen      uint16 // GSO: of all headers before the payload; a hint
	SegmentSize    uint16 // GSO: payload of each segment (MSS)
	ChecksumStart  uint16 // NeedsChecksum: where the sum begins, from the frame's start
	ChecksumOffset uint16 // NeedsChecksum: where it goes, from ChecksumStart
}

// Offload.Flags.
const (
	NeedsChecksum = 1 // the checksum field holds only the sum of the pseudo header
	ChecksumValid = 2 // received: the card has verified the checksum
)

// Offload.GSO.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
	GSOECN   = 0x80 // or'ed in: the first segment has CWR set
)

// Release gives the memory of a received frame back to its card, and empties f. Frames
// that are not released use up NICOptions.Buffers; then the card drops what comes. It
// does nothing if f was not received, and returns ErrReleased if a copy of f was
// released or sent.
func (f *Frame) Release() error {
	b, ok := f.owner.(interface{ Release() bool })
	if !ok {
		return nil
	}
	if *f = (Frame{}); !b.Release() {
		return ErrReleased
	}
	return nil
}

// Len returns the length of the frame in bytes.
func (f *Frame) Len() int {
	n := len(f.Data)
	for _, b := range f.More {
		n += len(b)
	}
	return n
}

// NICOffloads says what work a card takes over.
type NICOffloads struct {
	SendChecksum bool // it finishes checksums: frames with NeedsChecksum can be sent
	SendTSO4     bool // it cuts TCP segments: frames with GSOTCPv4 can be sent
	SendTSO6     bool // the same with GSOTCPv6

	// With NICOptions.Offload: received frames may have NeedsChecksum or
	// ChecksumValid, GSOTCPv4, GSOTCPv6.
	ReceiveChecksum, ReceiveTSO4, ReceiveTSO6 bool
}

// NICStats are counts since OpenNIC.
type NICStats struct {
	ReceivedFrames, ReceivedBytes uint64
	// Starved is how often the card could have had a buffer more and there was none.
	Starved               uint64
	SentFrames, SentBytes uint64
	// Waits is how often Send had to wait for the card.
	Waits uint64
}

// Info returns what NICs tells of the card, at the time of OpenNIC.
func (n *NIC) Info() NICInfo { return n.info }

// MAC returns the card's address; zeros if it has none.
func (n *NIC) MAC() [6]byte { return n.info.MAC }

// MTU returns the largest payload of a frame in bytes, without Ethernet's header.
func (n *NIC) MTU() int { return n.info.MTU }

// LinkUp reports whether the card has a link; always, if it does not tell.
func (n *NIC) LinkUp() bool { return n.card.LinkUp() }

// Offloads returns what work the card takes over.
func (n *NIC) Offloads() (o NICOffloads) {
	o.SendChecksum, o.SendTSO4, o.SendTSO6, o.ReceiveChecksum, o.ReceiveTSO4, o.ReceiveTSO6 = n.card.Offloads()
	return o
}

// Stats returns the card's counts.
func (n *NIC) Stats() (s NICStats) {
	s.ReceivedFrames, s.ReceivedBytes, s.Starved, s.SentFrames, s.SentBytes, s.Waits = n.card.Stats()
	return s
}

// Receive fills frames with what has come, in its order, and returns how many; it waits
// until there is one. What was in frames before is overwritten, not released. Each
// frame is the program's until it is released, or sent by any card.
//
// The error is ErrNICClosed, os.ErrDeadlineExceeded after SetReceiveDeadline, or why
// the device has failed.
func (n *NIC) Receive(frames []Frame) (int, error) {
	got, err := n.card.Receive(rawFrames(frames))
	return got, nicError(err)
}

// SetReceiveDeadline makes Receive return os.ErrDeadlineExceeded, if there is no frame,
// from t on. The zero value of t, which is the default, means that it waits for ever.
func (n *NIC) SetReceiveDeadline(t time.Time) { n.card.SetReceiveDeadline(t) }

// Send gives the card frames to send, in their order, and waits while it has no room.
// It returns how many it has given; with fewer than all, the error says what is wrong
// with the next one, which is still the program's: ErrFrame, ErrOffload, ErrReleased,
// ErrNICClosed, or why the device has failed.
//
// A received frame is not the program's any more: Send empties it, and its memory
// returns to the card that received it when it has been sent. Memory of the program's
// own must stay as it is until the card has read it: Frame.Done tells, and Flush waits.
// That may be a second after Send if nothing else is sent or received, and none is
// called. Only memory that is a mapping of a disk's file is copied.
func (n *NIC) Send(frames []Frame) (int, error) {
	sent, err := n.card.Send(rawFrames(frames))
	return sent, nicError(err)
}

// Flush waits until the card has read all frames that were given to it.
func (n *NIC) Flush() error { return nicError(n.card.Flush()) }

// Close gives the card up. Receive, Send and Flush that wait return ErrNICClosed.
// Frames that were received stay readable, and Done of those that were being sent has
// been called.
func (n *NIC) Close() error { return nicError(n.card.Close()) }

// nicError returns this package's value for an error that package cards names.
func nicError(err error) error {
	named, ok := err.(interface{ NICError() string })
	if !ok {
		return err
	}
	switch named.NICError() {
	case "closed":
		return ErrNICClosed
	case "busy":
		return ErrNICBusy
	case "deadline":
		return os.ErrDeadlineExceeded
	case "frame":
		return ErrFrame
	case "offload":
		return ErrOffload
	case "released":
		return ErrReleased
	}
	return err
}
