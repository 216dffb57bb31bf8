package balloon

import (
	"encoding/binary"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// maxPFNs is the number of pages of one request, as Linux has it; there are
// devices that take no more.
const maxPFNs = 256

// burst is the number of requests after which the host is told how far the
// balloon is, and asked again how far it should go.
const burst = 32

// ServeTarget keeps the balloon at the size that the host wants until the device
// fails, and returns that error.
func (d *Device) ServeTarget() error {
	for {
		d.life.Lock()
		for !d.changed && d.life.Err() == nil {
			d.cond.Wait()
		}
		d.changed = false
		err := d.life.Err()
		d.life.Unlock()
		if err != nil {
			return err
		}
		if err := d.Resize(); err != nil {
			return err
		}
	}
}

// Resize brings the balloon to the size that the host wants, or as close to it
// as the reserve allows.
func (d *Device) Resize() error {
	d.resize.Lock()
	defer d.resize.Unlock()
	for {
		target, err := d.target()
		if err != nil {
			return err
		}
		before := d.pages
		if err := d.approach(target); err != nil {
			return err
		}
		if d.pages == before {
			d.setShort(target > before)
			return nil
		}
		d.frames.Ballooned(uint64(d.pages) << pageShift)
		d.life.Transport.Config().Write32(configActual, d.pages)
	}
}

// approach makes up to burst requests to bring the balloon to a size.
func (d *Device) approach(target uint32) (err error) {
	for range burst {
		before := d.pages
		switch {
		case target > before:
			err = d.grow(target - before)
		case target < before:
			err = d.shrink(before - target)
		}
		if err != nil || d.pages == before {
			return err
		}
	}
	return nil
}

// target reads what the host wants.
func (d *Device) target() (pages uint32, err error) {
	d.life.Lock()
	defer d.life.Unlock()
	if err := d.life.Err(); err != nil {
		return 0, err
	}
	err = virtio.ReadConfig(d.life.Transport, func(r virtio.Registers) { pages = r.Read32(configTarget) })
	if err != nil {
		d.life.End(err)
	}
	return pages, err
}

// setShort wakes ServeFreed if the balloon waits for memory.
func (d *Device) setShort(short bool) {
	d.life.Lock()
	d.short = short
	d.cond.Broadcast()
	d.life.Unlock()
}

// grow gives the host up to n pages, one request of them.
func (d *Device) grow(n uint32) error {
	free := d.frames.Free()
	if free <= d.opt.Reserve {
		return nil
	}
	want := min(n, maxPFNs, uint32(min((free-d.opt.Reserve)>>pageShift, maxPFNs)))
	first, taken := len(d.held), uint32(0)
	for taken < want {
		r := run{}
		r.start, r.end = d.frames.Take(int(want-taken)<<pageShift, false)
		if r.size() == 0 {
			break
		}
		if (r.end-1)>>pageShift > 1<<32-1 { // beyond what a PFN of 32 bits can tell
			d.frames.Give(r.start, r.end, false)
			break
		}
		d.held = append(d.held, r)
		taken += uint32(r.size() >> pageShift)
	}
	if taken == 0 {
		return nil
	}
	if err := d.tell(d.inflate, d.held[first:]); err != nil {
		return err
	}
	d.pages += taken
	return nil
}

// shrink takes up to n pages back, one request of them.
func (d *Device) shrink(n uint32) error {
	left := uint64(min(n, maxPFNs)) << pageShift
	var back []run
	for left > 0 && len(d.held) > 0 {
		last := &d.held[len(d.held)-1]
		r := run{max(last.start, last.end-min(left, last.size())), last.end}
		back = append(back, r)
		left -= r.size()
		if last.end = r.start; last.size() == 0 {
			d.held = d.held[:len(d.held)-1]
		}
	}
	if err := d.tell(d.deflate, back); err != nil {
		return err
	}
	for _, r := range back {
		d.frames.Give(r.start, r.end, true)
		d.pages -= uint32(r.size() >> pageShift)
	}
	return nil
}

// tell sends the page numbers of runs through a queue (§5.5.6.1, §5.5.6.2).
func (d *Device) tell(q *virtio.Queue, runs []run) error {
	n := 0
	for _, r := range runs {
		for p := r.start; p < r.end; p += pageSize {
			binary.LittleEndian.PutUint32(d.pfns[n:], uint32(p>>pageShift))
			n += 4
		}
	}
	seg := [1]virtio.Segment{{Addr: d.pfnsAt, Len: uint32(n)}}
	return d.exchange(q, seg[:], 1)
}
