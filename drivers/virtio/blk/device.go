// Package blk drives virtio block devices (virtio 1.2 §5.2), modern and legacy,
// with any number of queues. It copies no data: the device reads and writes the
// caller's buffers where they lie.
//
// A Request is submitted and reports its completion to a function; what is
// larger than the device takes at once goes to it in parts. What finds a queue
// full waits in the driver, so that Submit never blocks. ReadAt and its kin
// submit and wait.
//
// # What a flush covers
//
// The device may carry out requests that are in flight at the same time in any
// order, on one queue or several. A completed write is seen by every read
// that is submitted afterwards, but on a device with a volatile cache
// (Info.WriteCache) it may be lost when the host stops. A flush that completes
// without error makes those writes durable, discarded and zeroed ranges
// included, whose completion was reported before the flush was submitted, on
// whatever queue they were (§5.2.6.2). It says nothing about a write that was
// in flight when the flush was submitted: for a write to be ordered behind
// another, submit it when the flush behind the other is complete. If a flush
// fails, what it should have covered may be lost, and a later flush that
// succeeds does not say that it was not. A write that fails may have changed any
// part of its range, and nothing else.
//
// Files in reading order: device.go (set-up and end), config.go (what the
// device says of itself), request.go (Submit), queue.go (one virtqueue), split.go
// (parts), stall.go (requests without answer), blocking.go and disk.go (calls that
// wait, with errors of this package or of system calls).
package blk

import (
	"sync/atomic"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Features of the block device (§5.2.3).
//
// CONFIG_WCE is not taken: without it FLUSH alone decides between write-back
// and write-through (§5.2.5), while devices have told drivers of the one and
// worked in the other. A flush that was not needed costs less than one that was.
const (
	FeatureSizeMax     uint64 = 1 << 1  // the longest segment is limited
	FeatureSegMax      uint64 = 1 << 2  // device tells how many segments it takes
	FeatureGeometry    uint64 = 1 << 4  // device tells cylinders, heads and sectors
	FeatureReadOnly    uint64 = 1 << 5  // device cannot be written
	FeatureBlockSize   uint64 = 1 << 6  // device tells its block size
	FeatureFlush       uint64 = 1 << 9  // device may have a volatile cache
	FeatureTopology    uint64 = 1 << 10 // device tells which accesses suit it
	FeatureMultiQueue  uint64 = 1 << 12 // device has several queues
	FeatureDiscard     uint64 = 1 << 13 // device can forget data
	FeatureWriteZeroes uint64 = 1 << 14 // device can write zeroes by itself
)

const wanted = FeatureSizeMax | FeatureSegMax | FeatureGeometry | FeatureReadOnly | FeatureBlockSize |
	FeatureFlush | FeatureTopology | FeatureMultiQueue | FeatureDiscard | FeatureWriteZeroes

// Errors that end the device, or keep it from starting. Those of its
// configuration are in config.go, those of a request in request.go.
const (
	ErrNotBlock   = virtio.Error("virtio-blk: not a block device")
	ErrQueueSmall = virtio.Error("virtio-blk: queue has fewer than 4 entries")
	ErrStatus     = virtio.Error("virtio-blk: device answered with an unknown status")
	ErrNoStatus   = virtio.Error("virtio-blk: device returned a request without a status")
	ErrShort      = virtio.Error("virtio-blk: device reports success of a read but wrote less than was asked for")
)

// Options tunes a device; the zero value is one queue for all.
type Options struct {
	Without   uint64 // features not to use
	Queues    int    // most queues for requests of any CPU (1)
	QueueSize int    // most entries of a queue (128): parts in flight
	// Reserve sets one more queue aside, which the driver does not use: see
	// Device.Reserved. A device that has only one cannot: Info.Reserved.
	Reserve bool
	// Ended, if not nil, is told that the device has ended: the reserved queue gets
	// no answers any more. virtio.ErrReset means that the device may not have let go
	// of the memory that was given to it there.
	Ended func(err error)

	// Resized, if not nil, is told the new capacity in bytes when it changed.
	Resized func(capacity int64)
	// Stalled, if not nil, is told once of each request of which the device
	// has held a part for Timeout (30 s); length is in bytes, age the time
	// since the part was submitted. The request goes on.
	Stalled func(op Op, offset, length int64, age time.Duration)
	Timeout time.Duration
	Clock   Clock // the time by which that is measured (nil: package time's)
}

const (
	defaultQueueSize = 128
	defaultTimeout   = 30 * time.Second
)

// Device is a block device at work. Any number of goroutines may use it.
//
// Locks: life's, then a queue's. No lock is held when a function of the
// user's is called.
type Device struct {
	opt      Options
	mem      virtio.Memory
	features uint64
	info     Info
	capacity atomic.Int64 // bytes

	queues   []*queue      // for all
	reserved *virtio.Queue // or nil
	turn     atomic.Uint32
	busy     busyTime

	life    virtio.Lifecycle // its lock protects what follows
	resized bool             // Options.Resized is owed
	lost    list             // requests that the end of the device ended
	ended   error            // Options.Ended is owed

	idle virtio.IdleList[waiter] // of ReadAt and its kin
}

// New starts a block device. Its interrupt must be connected already.
func New(t virtio.Transport, mem virtio.Memory, opt Options) (*Device, error) {
	if t.DeviceType() != virtio.TypeBlock {
		return nil, ErrNotBlock
	}
	opt.setDefaults()
	d := &Device{opt: opt, mem: mem}
	d.life.Transport = t
	d.life.OnConfig = d.updateCapacity
	d.life.OnEnd = d.abort
	if err := d.life.Start(d.start); err != nil {
		return nil, err
	}
	return d, nil
}

func (o *Options) setDefaults() {
	o.Queues = max(o.Queues, 1)
	if o.QueueSize <= 0 {
		o.QueueSize = defaultQueueSize
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
}

func (d *Device) start() error {
	t := d.life.Transport
	features, err := virtio.Negotiate(t, wanted&^d.opt.Without, 0, nil)
	if err != nil {
		return err
	}
	d.features = features
	cfg, err := readConfig(t, features)
	if err != nil {
		return err
	}
	if err := d.startQueues(cfg.queues); err != nil {
		return err
	}
	first := d.queues[0]
	if d.info, err = cfg.info(first.vq.Size(), first.maxData()); err != nil {
		return err
	}
	d.info.Legacy = t.Legacy()
	d.info.Queues = len(d.queues)
	d.info.Reserved = d.reserved != nil
	d.capacity.Store(d.info.Capacity)
	return virtio.Ready(t)
}

// startQueues sets up the queues that are wanted, of as many as there are. The
// last is the reserved one.
func (d *Device) startQueues(have int) error {
	n := d.opt.Queues
	if d.opt.Reserve {
		n++
	}
	n = min(n, have)
	for i := range n {
		if d.opt.Reserve && i > 0 && i == n-1 {
			vq, err := virtio.NewQueue(d.life.Transport, d.mem, d.features, i, d.opt.QueueSize)
			d.reserved = vq
			return err
		}
		q, err := d.newQueue(i)
		if err != nil {
			return err
		}
		d.queues = append(d.queues, q)
	}
	return nil
}

// Reserved returns the queue of Options.Reserve, nil if there is none. Its number is
// Info.Queues. Nobody has used it, and the driver handles no interrupt for it.
func (d *Device) Reserved() *virtio.Queue { return d.reserved }

// Info returns what the device is and can do.
func (d *Device) Info() Info {
	info := d.info
	info.Capacity = d.capacity.Load()
	return info
}

// Err returns why the device is not at work, or nil.
func (d *Device) Err() error { return d.life.Err() }

// HandleInterrupt does all that the device may have interrupted for, the
// completion functions of requests included. An error is final: requests fail
// with it from then on.
func (d *Device) HandleInterrupt() error {
	if d.life.Transport.Acknowledge()&virtio.CauseConfig != 0 {
		d.HandleConfigChange()
	}
	for _, q := range d.queues {
		q.handle()
	}
	return d.Err()
}

// HandleQueue handles an interrupt that is for one queue alone (a message of its
// own on PCI).
func (d *Device) HandleQueue(i int) error {
	d.queues[i].handle()
	return d.Err()
}

// HandleConfigChange handles an interrupt that is for changes of configuration
// and status alone.
func (d *Device) HandleConfigChange() error {
	err := d.life.HandleConfigChange()
	d.finishLost()
	d.life.Lock()
	resized := d.resized
	d.resized = false
	d.life.Unlock()
	if resized && d.opt.Resized != nil {
		d.opt.Resized(d.capacity.Load())
	}
	return err
}

// updateCapacity reads the capacity again, with life's lock held.
func (d *Device) updateCapacity() {
	capacity, err := readCapacity(d.life.Transport, d.info.BlockSize)
	if err != nil {
		d.life.End(err)
		return
	}
	if d.capacity.Swap(capacity) != capacity {
		d.resized = true
	}
}

// fail ends the device and all requests. No lock is held.
func (d *Device) fail(err error) {
	d.life.Lock()
	d.life.End(err)
	d.life.Unlock()
	d.finishLost()
}

// Close stops the device; requests under way fail with virtio.ErrClosed, and
// their completion functions have been called when it returns, unless another
// goroutine is about to.
func (d *Device) Close() { d.fail(virtio.ErrClosed) }

// abort gathers all requests of a device that was reset, with life's lock held.
// If the device did not confirm the reset, it may still write to buffers: the
// requests say so.
func (d *Device) abort(err error) {
	if d.life.Transport.Status() != 0 {
		err = virtio.ErrReset
	}
	for _, q := range d.queues {
		q.abort(err, &d.lost)
	}
	d.ended = err
}

// finishLost completes what abort has gathered.
func (d *Device) finishLost() {
	d.life.Lock()
	lost, ended := d.lost, d.ended
	d.lost, d.ended = list{}, nil
	d.life.Unlock()
	if ended != nil && d.opt.Ended != nil {
		d.opt.Ended(ended)
	}
	lost.finish()
}
