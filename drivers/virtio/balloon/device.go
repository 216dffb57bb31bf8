// Package balloon drives the traditional memory balloon device (virtio 1.2
// §5.5). It gives the host memory that the guest does not use, in two ways:
//
//   - free page reporting (§5.5.6.7): memory that was used and freed is shown to
//     the host, which drops what is behind it; the guest keeps the memory and
//     gets fresh pages when it uses it again;
//   - the balloon itself (§5.5.6.1): the host says how many pages it wants, and
//     the guest does without them until the host wants fewer.
//
// Neither runs by the clock: the first waits until enough has been freed, the
// second until the host changes its wish.
//
// Start reading at New, then Device.ServeTarget (inflate.go) and
// Device.ServeFreed (report.go).
package balloon

import (
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Features of the device (§5.5.3). DEFLATE_ON_OOM is not taken: it allows the
// guest to take pages back on its own when it runs out, but who runs out here is
// a page fault, which cannot wait for a device.
const (
	featureMustTellHost  = 1 << 0
	featureStatistics    = 1 << 1
	featureFreePageHint  = 1 << 3
	featurePageReporting = 1 << 5
)

// Virtqueues (§5.5.2). reporting is the number by the specification; devices
// without the queues before it give theirs the next free number: see
// reportingQueueOf.
const (
	inflateQueue   = 0
	deflateQueue   = 1
	reportingQueue = 4
)

// Configuration (§5.5.4), in pages.
const (
	configTarget = 0 // num_pages: what the host wants
	configActual = 4 // actual: what the guest has given
)

const (
	pageShift = 12
	pageSize  = 1 << pageShift
)

// ErrNotBalloon means that the device is of another type.
const ErrNotBalloon = virtio.Error("virtio-balloon: not a balloon device")

// Frames is the guest's free memory, in whole pages at physical addresses.
type Frames interface {
	// Take takes up to n bytes out of use, in one run; start and end are
	// equal if there is none. used asks for memory that was used and freed,
	// which the host still backs.
	Take(n int, used bool) (start, end uint64)
	// Give returns what Take took; clean says that the host does not back it.
	Give(start, end uint64, clean bool)
	// Free returns how many bytes Take could take, in all.
	Free() uint64
	// WaitFreed returns once n bytes that were used are free and not yet
	// given back as clean. An error ends ServeFreed.
	WaitFreed(n int) error
	// Ballooned says how many bytes the balloon holds now: the guest has so
	// much less.
	Ballooned(bytes uint64)
}

// Options are the limits of a balloon.
type Options struct {
	// Reserve is how much free memory is always left to the guest, in bytes.
	Reserve uint64
	// Delay is how long freed memory may be used again before it is
	// reported: a heap that shrinks often grows again at once.
	Delay time.Duration
}

// Device is a balloon at work.
type Device struct {
	frames Frames
	opt    Options

	resize sync.Mutex // held while the balloon changes its size
	held   []run      // the balloon's memory
	pages  uint32     // how many that are
	pfns   []byte     // array for the host, in DMA memory
	pfnsAt uint64     // its physical address

	runs []run            // of the report under way
	segs []virtio.Segment // the same, for the queue

	life    virtio.Lifecycle // its lock protects what follows and the queues
	cond    sync.Cond        // signalled at every interrupt and at the end
	inflate *virtio.Queue
	deflate *virtio.Queue
	report  *virtio.Queue // nil if the device does not want reports
	changed bool          // the target may have changed
	short   bool          // the balloon wants more than there was
}

// run is a physically contiguous piece of memory.
type run struct{ start, end uint64 }

func (r run) size() uint64 { return r.end - r.start }

// New starts a balloon device. Its interrupt must be connected already.
func New(t virtio.Transport, mem virtio.Memory, frames Frames, opt Options) (*Device, error) {
	if t.DeviceType() != virtio.TypeBalloon {
		return nil, ErrNotBalloon
	}
	d := &Device{frames: frames, opt: opt, changed: true}
	d.cond.L = &d.life
	d.life.Transport = t
	d.life.OnQueues = d.cond.Broadcast
	d.life.OnConfig = func() { d.changed = true }
	d.life.OnEnd = func(error) { d.cond.Broadcast() }
	if err := d.life.Start(func() error { return d.start(t, mem) }); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Device) start(t virtio.Transport, mem virtio.Memory) error {
	// A page of the balloon is used again only after the host was told, so
	// MUST_TELL_HOST costs nothing.
	features, err := virtio.Negotiate(t, featureMustTellHost|featurePageReporting, 0, nil)
	if err != nil {
		return err
	}
	if d.pfns, d.pfnsAt, err = mem.Alloc(maxPFNs * 4); err != nil {
		return err
	}
	if d.inflate, err = virtio.NewQueue(t, mem, features, inflateQueue, 2); err != nil {
		return err
	}
	if d.deflate, err = virtio.NewQueue(t, mem, features, deflateQueue, 2); err != nil {
		return err
	}
	if features&featurePageReporting != 0 {
		if d.report, err = virtio.NewQueue(t, mem, features, reportingQueueOf(t), maxRuns); err != nil {
			return err
		}
	}
	return virtio.Ready(t)
}

// reportingQueueOf returns the number of the reporting queue. Devices without a
// statistics or hinting queue do not leave a gap for it, as Linux does not
// expect one, whatever §5.5.2 says.
func reportingQueueOf(t virtio.Transport) int {
	if t.QueueMax(reportingQueue) > 0 {
		return reportingQueue
	}
	n := deflateQueue + 1
	for _, f := range []uint64{featureStatistics, featureFreePageHint} {
		if t.Features()&f != 0 {
			n++
		}
	}
	return n
}

// Reporting tells whether the device takes reports of free pages.
func (d *Device) Reporting() bool { return d.report != nil }

// HandleInterrupt does all that the device may have interrupted for. An error
// is final.
func (d *Device) HandleInterrupt() error { return d.life.HandleInterrupt() }

// Close stops the device. The memory in the balloon stays there.
func (d *Device) Close() { d.life.Close() }

// exchange gives the device one chain and waits until it has used it.
func (d *Device) exchange(q *virtio.Queue, segs []virtio.Segment, readable int) error {
	d.life.Lock()
	defer d.life.Unlock()
	if err := d.life.Err(); err != nil {
		return err
	}
	q.Add(segs, readable) // has room: the queue is empty, and segs no longer than it
	q.Kick()
	for {
		if _, _, ok := q.Next(); ok {
			return nil
		}
		if err := q.Err(); err != nil {
			d.life.End(err)
		}
		if err := d.life.Err(); err != nil {
			return err
		}
		if !q.EnableInterrupts(0) {
			d.cond.Wait()
		}
	}
}
