package rng

// Read fills p with random bytes of the device. It blocks until it has them all
// or the device fails.
func (d *Device) Read(p []byte) (n int, err error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
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
	if d.err != nil {
		return nil, d.err
	}
	d.done = false
	d.seg[0].Len = uint32(size)
	d.q.Add(d.seg[:], 0)
	d.q.Kick()
	if d.q.EnableInterrupts(0) {
		d.complete()
	}
	for !d.done && d.err == nil {
		d.cond.Wait()
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.buf[:d.n], nil
}

// complete looks whether the device has returned the buffer, with mu held.
func (d *Device) complete() {
	_, written, ok := d.q.Next()
	switch {
	case d.err != nil:
	case d.q.Err() != nil:
		d.fail(d.q.Err())
	case ok && written == 0:
		d.fail(ErrNoBytes)
	case ok:
		d.done, d.n = true, written
		d.cond.Broadcast()
	}
}
