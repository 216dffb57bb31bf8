package rng

// Read fills p with random bytes of the device. It blocks until it has them all
// or the device fails.
func (d *Device) Read(p []byte) (n int, err error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	d.life.Lock()
	defer d.life.Unlock()
	for n < len(p) {
		got, err := d.request(min(len(p)-n, len(d.buf)))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], got)
		clear(got) // no one else shall find them
	}
	return n, nil
}

// request asks for up to size bytes and waits for some, with both locks held.
func (d *Device) request(size int) ([]byte, error) {
	if err := d.life.Err(); err != nil {
		return nil, err
	}
	d.done = false
	d.seg[0].Len = uint32(size)
	d.q.Add(d.seg[:], 0)
	d.q.Kick()
	if d.q.EnableInterrupts(0) {
		d.complete()
	}
	for !d.done && d.life.Err() == nil {
		d.cond.Wait()
	}
	if err := d.life.Err(); err != nil {
		return nil, err
	}
	return d.buf[:d.n], nil
}

// complete looks whether the device has returned the buffer, with the lock held.
func (d *Device) complete() {
	_, written, ok := d.q.Next()
	switch {
	case d.q.Err() != nil:
		d.life.End(d.q.Err())
	case ok && written == 0:
		d.life.End(ErrNoBytes)
	case ok:
		d.done, d.n = true, written
		d.cond.Broadcast()
	}
}
