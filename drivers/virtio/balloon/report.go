package balloon

import (
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

const (
	// maxRuns is the number of runs of one report: an indirect table holds
	// so many.
	maxRuns = virtio.IndirectMax
	// maxReport is the size of one report in bytes. The guest does without
	// that memory while the host drops it, which takes some milliseconds.
	maxReport = 32 << 20
)

// ServeFreed reports freed memory, and fills a balloon that is short of it, each
// time that enough has been freed; until the device fails, and returns that
// error.
func (d *Device) ServeFreed() error {
	for {
		if err := d.waitWanted(); err != nil {
			return err
		}
		// More than the reserve: what the balloon may not take would
		// otherwise end this wait at once, again and again.
		if err := d.frames.WaitFreed(int(2 * d.opt.Reserve)); err != nil {
			return err
		}
		time.Sleep(d.opt.Delay)
		if err := d.Resize(); err != nil {
			return err
		}
		if err := d.Report(); err != nil {
			return err
		}
	}
}

// waitWanted waits until freed memory is of use: at once if it can be reported,
// else when the balloon is short.
func (d *Device) waitWanted() error {
	d.life.Lock()
	defer d.life.Unlock()
	for d.report == nil && !d.short && d.life.Err() == nil {
		d.cond.Wait()
	}
	return d.life.Err()
}

// Report shows the host all memory that was used and freed. It is for one
// goroutine.
func (d *Device) Report() error {
	if d.report == nil {
		return nil
	}
	// What is freed meanwhile can wait for the next time: this ends.
	for left := d.frames.Free(); left > 0; {
		n := d.takeFreed(left)
		if n == 0 {
			return nil
		}
		left -= min(n, left)
		err := d.exchange(d.report, d.segs, 0)
		for _, r := range d.runs {
			d.frames.Give(r.start, r.end, err == nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeFreed takes one report's memory, at most half of what is free, into runs
// and segs and returns its size.
func (d *Device) takeFreed(limit uint64) (n uint64) {
	d.runs, d.segs = d.runs[:0], d.segs[:0]
	limit = min(limit, maxReport, d.frames.Free()/2&^(pageSize-1))
	for n < limit && len(d.runs) < min(maxRuns, d.report.Size()) {
		start, end := d.frames.Take(int(limit-n), true)
		if start == end {
			break
		}
		d.runs = append(d.runs, run{start, end})
		d.segs = append(d.segs, virtio.Segment{Addr: start, Len: uint32(end - start)})
		n += end - start
	}
	return n
}
