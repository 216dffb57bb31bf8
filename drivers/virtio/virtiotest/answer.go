package virtiotest

import "testing"

// Answer puts the device to work until the test ends: serve is called for each
// chain of queue i that the driver makes available, in Do. Interrupts come to the
// line that is returned; a test gives it to virtio.Serve.
func (d *Device) Answer(t testing.TB, serve func(i int, q *Queue, c *Chain)) *Line {
	line, work := NewLine(), NewLine()
	d.Raised = line.Raise
	d.Notified = func(int) { work.Raise(0) }
	go func() {
		var c Chain
		for work.Wait() == nil {
			d.Do(func() {
				for i, q := range d.Queues {
					q.Drain(&c, func(c *Chain) { serve(i, q, c) })
				}
			})
		}
	}()
	t.Cleanup(func() { line.Close(); work.Close() })
	return line
}
