// Package net drives virtio network devices (virtio 1.2 §5.1), modern and
// legacy, with one pair of queues. It copies no packet: received packets are
// delivered in the buffers that the Handler provided, sent ones are read by the
// device from where they lie.
//
// One goroutine calls HandleInterrupt (usually through virtio.Serve) and with
// it the Handler's receiving side; any number may call Send and Kick.
//
// Who reads a file after the other: device.go (set-up and end), rx.go, tx.go.
// The package name is that of the device; importers call it virtionet.
package net

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Features of the network device (§5.1.3).
const (
	FeatureCsum      uint64 = 1 << 0  // device completes checksums of sent packets
	FeatureGuestCsum uint64 = 1 << 1  // driver takes packets with partial checksums
	FeatureMTU       uint64 = 1 << 3  // device tells the MTU
	FeatureMAC       uint64 = 1 << 5  // device tells the address
	FeatureGuestTSO4 uint64 = 1 << 7  // driver takes TCP segments beyond the MTU
	FeatureGuestTSO6 uint64 = 1 << 8  //
	FeatureHostTSO4  uint64 = 1 << 11 // device splits TCP segments beyond the MTU
	FeatureHostTSO6  uint64 = 1 << 12 //
	FeatureMrgRxbuf  uint64 = 1 << 15 // a received packet may span buffers
	FeatureStatus    uint64 = 1 << 16 // device tells whether the link is up
)

const offloads = FeatureCsum | FeatureHostTSO4 | FeatureHostTSO6 |
	FeatureGuestCsum | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureMrgRxbuf

// Configuration space (§5.1.4).
const (
	configMAC    = 0
	configStatus = 6
	configMTU    = 10

	statusLinkUp = 1
	minMTU       = 68 // RFC 791, and §5.1.4.1
)

// Errors of this package; each ends the device.
const (
	ErrShortPacket = virtio.Error("virtio-net: received packet is shorter than its header")
	ErrNumBuffers  = virtio.Error("virtio-net: received packet claims an impossible number of buffers")
	ErrMTU         = virtio.Error("virtio-net: device announces an MTU below 68")
	ErrBuffer      = virtio.Error("virtio-net: receive buffer is too small for a packet")
	ErrNotNet      = virtio.Error("virtio-net: not a network device")
)

// Handler is the user of a device. Owners are what the user knows a buffer or
// a packet by; a pointer becomes an owner without allocation.
type Handler interface {
	// Buffer provides a receive buffer of DMA memory, not on a stack; nil if
	// there is no memory now. Without Offloads.Mergeable it must hold
	// Info.MinBuffer bytes. The device writes to it until it is delivered
	// or freed.
	Buffer() (buf []byte, owner any)
	// Free takes back a buffer without a packet.
	Free(owner any)
	// Receive delivers packets. The slices of Packet are valid during the
	// call, the buffers belong to the user from now on.
	Receive(packets []Packet)
	// Sent returns the owner of a packet that the device has read. It is
	// called with a lock held: it must not call the device.
	Sent(owner any)
	// Writable tells that Send has failed with ErrFull and may now succeed.
	// It is called wherever the driver notices, even inside Send and Kick,
	// and should do no more than wake whoever waits.
	Writable()
	// LinkChanged tells that the link came up or went down.
	LinkChanged(up bool)
	// Failed is called once, from a goroutine of its own, if the device
	// breaks down: it is reset, and all buffers have been returned.
	Failed(err error)
}

// Options tunes a device; the zero value is for a small machine.
type Options struct {
	Without   uint64 // features not to use
	RxBuffers int    // receive buffers to begin with (64); grows to RxMax
	RxMax     int    // most receive buffers (256)
	TxMax     int    // most descriptors for sending (256)
}

// Info is what a device is and can do.
type Info struct {
	MAC       [6]byte
	HasMAC    bool // false: the user chooses an address
	MTU       int  // 0: the device does not say, use 1500
	MinBuffer int  // size that every receive buffer must have
	Legacy    bool
	Offloads  Offloads
}

// Offloads tells which work the two sides leave to each other.
type Offloads struct {
	TxChecksum bool // packets with NeedsChecksum may be sent
	TxTSO4     bool // packets with GSO set may be sent
	TxTSO6     bool
	RxChecksum bool // received packets may have NeedsChecksum or DataValid
	RxTSO4     bool // received packets may have GSO set
	RxTSO6     bool
	Mergeable  bool // received packets may span buffers
}

// Queue numbers (§5.1.2).
const (
	rxQueue = 0
	txQueue = 1
)

// Device is a network device at work.
type Device struct {
	t        virtio.Transport
	mem      virtio.Memory
	h        Handler
	features uint64
	info     Info
	hdrLen   int

	rx   receiver
	tx   transmitter
	link atomic.Bool
	err  atomic.Pointer[error] // set once: why the device is not at work
}

// New starts a network device. Its interrupt must be connected already: it may
// come before New returns.
func New(t virtio.Transport, mem virtio.Memory, h Handler, o Options) (*Device, error) {
	if t.DeviceType() != virtio.TypeNet {
		return nil, ErrNotNet
	}
	d := &Device{t: t, mem: mem, h: h}
	if err := d.start(o); err != nil {
		virtio.Fail(t)
		if virtio.Reset(t) == nil {
			d.rx.freeAll(h)
		}
		return nil, err
	}
	return d, nil
}

func (d *Device) start(o Options) error {
	wanted := (offloads | FeatureMTU | FeatureMAC | FeatureStatus) &^ o.Without
	features, err := virtio.Negotiate(d.t, wanted, 0, consistent)
	if err != nil {
		return err
	}
	d.features = features
	d.hdrLen = headerSize
	if d.t.Legacy() && !d.has(FeatureMrgRxbuf) {
		d.hdrLen = headerSize - 2 // no num_buffers (§5.1.6.1)
	}
	if err := d.readConfig(); err != nil {
		return err
	}
	if err := d.startRx(orDefault(o.RxBuffers, 64), orDefault(o.RxMax, 256)); err != nil {
		return err
	}
	if err := d.startTx(orDefault(o.TxMax, 256)); err != nil {
		return err
	}
	if err := virtio.Ready(d.t); err != nil {
		return err
	}
	d.Refill()
	return nil
}

func orDefault(n, value int) int {
	if n <= 0 {
		return value
	}
	return n
}

// consistent removes features whose requirements are not offered (§5.1.3.1).
// Large received packets are taken only in mergeable buffers: without them
// every buffer would have to hold 64 KiB.
func consistent(f uint64) uint64 {
	if f&FeatureCsum == 0 {
		f &^= FeatureHostTSO4 | FeatureHostTSO6
	}
	if f&FeatureGuestCsum == 0 || f&FeatureMrgRxbuf == 0 {
		f &^= FeatureGuestTSO4 | FeatureGuestTSO6
	}
	return f
}

func (d *Device) has(f uint64) bool { return d.features&f == f }

// readConfig fills info.
func (d *Device) readConfig() error {
	info := Info{Legacy: d.t.Legacy(), Offloads: Offloads{
		TxChecksum: d.has(FeatureCsum),
		TxTSO4:     d.has(FeatureHostTSO4),
		TxTSO6:     d.has(FeatureHostTSO6),
		RxChecksum: d.has(FeatureGuestCsum),
		RxTSO4:     d.has(FeatureGuestTSO4),
		RxTSO6:     d.has(FeatureGuestTSO6),
		Mergeable:  d.has(FeatureMrgRxbuf),
	}}
	up := true
	err := virtio.ReadConfig(d.t, func(r virtio.Registers) {
		for i := range info.MAC {
			info.MAC[i] = r.Read8(configMAC + uintptr(i))
		}
		if d.has(FeatureMTU) {
			info.MTU = int(r.Read16(configMTU))
		}
		if d.has(FeatureStatus) {
			up = r.Read16(configStatus)&statusLinkUp != 0
		}
	})
	if err != nil {
		return err
	}
	if d.has(FeatureMTU) && info.MTU < minMTU {
		return ErrMTU
	}
	// A group address, or none, is nobody's own address.
	info.HasMAC = d.has(FeatureMAC) && info.MAC[0]&1 == 0 && info.MAC != [6]byte{}
	if !info.HasMAC {
		info.MAC = [6]byte{}
	}
	info.MinBuffer = minBuffer(info, d.hdrLen)
	d.info = info
	d.link.Store(up)
	return nil
}

// Info returns what the device is and can do.
func (d *Device) Info() Info { return d.info }

// LinkUp reports whether the link is up; always, if the device does not tell.
func (d *Device) LinkUp() bool { return d.link.Load() }

// Err returns why the device is not at work, or nil.
func (d *Device) Err() error {
	if p := d.err.Load(); p != nil {
		return *p
	}
	return nil
}

// HandleInterrupt does all that the device may have interrupted for. An error
// is final, and the Handler is told too.
func (d *Device) HandleInterrupt() error {
	if err := d.Err(); err != nil {
		return err
	}
	if d.t.Acknowledge()&virtio.CauseConfig != 0 {
		if err := d.HandleConfigChange(); err != nil {
			return err
		}
	}
	// A device may have only one interrupt for both queues, and looking at a
	// ring costs little, so always both.
	d.completeTx()
	d.receive()
	return d.Err()
}

// HandleConfigChange handles an interrupt that is for changes of configuration
// and status alone (a message of its own on PCI).
func (d *Device) HandleConfigChange() error {
	if err := d.Err(); err != nil {
		return err
	}
	if err := virtio.CheckStatus(d.t); err != nil {
		d.fail(err)
		return err
	}
	if !d.has(FeatureStatus) {
		return nil
	}
	up := true
	err := virtio.ReadConfig(d.t, func(r virtio.Registers) {
		up = r.Read16(configStatus)&statusLinkUp != 0
	})
	if err != nil {
		d.fail(err)
		return err
	}
	if d.link.Swap(up) != up {
		d.h.LinkChanged(up)
	}
	return nil
}

// fail ends the device. It may be called with locks held, so the buffers are
// returned by another goroutine.
func (d *Device) fail(err error) {
	if d.err.CompareAndSwap(nil, &err) {
		go func() {
			d.release()
			d.h.Failed(err)
		}()
	}
}

// Close stops the device and returns all buffers to the Handler.
func (d *Device) Close() {
	err := error(virtio.ErrClosed)
	if d.err.CompareAndSwap(nil, &err) {
		d.release()
	}
}

// release resets the device and returns its buffers. If the device does not
// confirm the reset, it may still write to them: then they are never returned.
func (d *Device) release() {
	d.rx.mu.Lock()
	defer d.rx.mu.Unlock()
	d.tx.mu.Lock()
	defer d.tx.mu.Unlock()
	d.tx.timer.Stop()
	if virtio.Reset(d.t) != nil {
		return
	}
	d.rx.freeAll(d.h)
	d.tx.freeAll(d.h)
}

// receiver and transmitter hold what belongs to one direction; mu protects it.
type receiver struct {
	mu      sync.Mutex
	q       *virtio.Queue
	slots   []rxSlot // by head descriptor
	posted  int      // buffers that the device holds
	target  int      // buffers that it should hold
	max     int
	split   bool // the header needs a descriptor of its own
	segs    []virtio.Segment
	packets []Packet
	buffers []Buffer
}

type transmitter struct {
	mu      sync.Mutex
	q       *virtio.Queue
	owners  []txSlot // by head descriptor
	headers []byte   // by head descriptor, headerStride apart
	hdrPhys uint64
	segs    []virtio.Segment
	full    bool // Send has failed, and Writable is owed
	room    bool // since then the device has finished something
	timer   *time.Timer
	armed   bool
	delay   time.Duration
}
