package p9_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/p9"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const modern = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc | mountTag

const mountTag = 1

func config(tag string) []byte {
	return append(binary.LittleEndian.AppendUint16(nil, uint16(len(tag))), tag...)
}

// start returns a driver whose device answers each request through serve.
func start(t testing.TB, features uint64, size int, serve func(q *virtiotest.Queue, c *virtiotest.Chain)) (*p9.Device, *virtiotest.Device, *virtiotest.Memory) {
	t.Helper()
	mem := virtiotest.NewMemory(400)
	dev := virtiotest.NewDevice(virtio.Type9P, mem, features, config("share"), size)
	dev.Old = features&virtio.FeatureVersion1 == 0
	line := dev.Answer(t, func(_ int, q *virtiotest.Queue, c *virtiotest.Chain) { serve(q, c) })
	d, err := p9.New(dev, mem)
	if err != nil {
		t.Fatal(err)
	}
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(d.Close)
	return d, dev, mem
}

// echo answers with what was asked.
func echo(q *virtiotest.Queue, c *virtiotest.Chain) {
	q.Push(c.Head, uint32(c.Fill(c.Data(nil))))
	q.Flush()
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestExchange(t *testing.T) {
	for name, features := range map[string]uint64{"legacy": mountTag, "modern": modern, "plain": virtio.FeatureVersion1 | mountTag} {
		t.Run(name, func(t *testing.T) {
			d, _, mem := start(t, features, 128, echo)
			if d.Tag() != "share" {
				t.Errorf("Tag = %q; want share", d.Tag())
			}
			for _, size := range []int{0, 1, 5000, 30 * virtio.PageSize, 58 * virtio.PageSize} {
				header, data := mem.Buffer(100, 23), mem.Buffer(300, size)
				copy(header, "header")
				copy(data, pattern(size))
				answer, payload := mem.Buffer(4090, 23), mem.Buffer(7, size)
				n, err := d.Exchange([][]byte{header, data}, [][]byte{answer, payload})
				if n != 23+size || err != nil || !bytes.Equal(answer, header) || !bytes.Equal(payload, data) {
					t.Errorf("%d bytes: Exchange = %d, %v, same bytes %v", size, n, err, bytes.Equal(payload, data))
				}
			}
		})
	}
}

// Requests of many goroutines get each its own answer, also when the queue is
// too small for all at once and the device answers in another order.
func TestManyAtOnce(t *testing.T) {
	var held []virtiotest.Chain
	flush := func(q *virtiotest.Queue) {
		for i := len(held) - 1; i >= 0; i-- {
			c := held[i]
			q.Push(c.Head, uint32(c.Fill(c.Data(nil))))
		}
		held = nil
		q.Flush()
	}
	d, dev, mem := start(t, modern, 8, func(q *virtiotest.Queue, c *virtiotest.Chain) {
		held = append(held, virtiotest.Chain{Head: c.Head, Read: append([][]byte(nil), c.Read...), Write: append([][]byte(nil), c.Write...)})
		if len(held) == 3 {
			flush(q)
		}
	})
	const goroutines, rounds = 24, 12 // a multiple of 3 in all, so none is held for good
	var wg sync.WaitGroup
	for g := range goroutines {
		out, in := mem.Buffer(0, 64), mem.Buffer(0, 64)
		wg.Go(func() {
			for i := range rounds {
				copy(out, fmt.Sprintf("%d of %d          ", i, g))
				n, err := d.Exchange([][]byte{out}, [][]byte{in})
				if n != 64 || err != nil || !bytes.Equal(in, out) {
					t.Errorf("Exchange = %d, %v, %q; want %q", n, err, in, out)
					return
				}
			}
		})
	}
	// The last requests may be fewer than three at a time.
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			dev.Do(func() {
				if len(held) > 0 && dev.Queues[0].Available() == 0 {
					flush(dev.Queues[0])
				}
			})
		}
	}
}

// A request with MaxData bytes has room however its parts lie.
func TestMaxData(t *testing.T) {
	d, _, mem := start(t, virtio.FeatureVersion1|mountTag, 64, echo)
	out, data := mem.Buffer(4095, 23), mem.Buffer(4095, d.MaxData())
	if n, err := d.Exchange([][]byte{out, data}, [][]byte{mem.Buffer(4095, 11)}); n != 11 || err != nil {
		t.Errorf("Exchange of %d bytes = %d, %v; want 11, nil", d.MaxData(), n, err)
	}
}

func TestTooLarge(t *testing.T) {
	d, _, mem := start(t, virtio.FeatureVersion1|mountTag, 8, echo)
	if got, want := d.MaxData(), 2*virtio.PageSize; got != want {
		t.Errorf("MaxData of a queue of 8 = %d; want %d", got, want)
	}
	big := mem.Buffer(0, 9*virtio.PageSize)
	if _, err := d.Exchange([][]byte{big}, nil); !errors.Is(err, p9.ErrTooLarge) {
		t.Errorf("Exchange of 9 pages = %v; want %v", err, p9.ErrTooLarge)
	}
	in := mem.Buffer(0, 16)
	if n, err := d.Exchange([][]byte{big[:16]}, [][]byte{in}); n != 16 || err != nil {
		t.Errorf("Exchange after that = %d, %v; want 16, nil", n, err)
	}
}

func TestHostileDevice(t *testing.T) {
	tests := []struct {
		name  string
		serve func(q *virtiotest.Queue, c *virtiotest.Chain)
		want  error
	}{
		{"too many", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head, 33) }, virtio.ErrUsedLength},
		{"unknown id", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head+1, 32) }, virtio.ErrUsedID},
		{"twice", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(c.Head, 1); q.Push(c.Head, 1) }, virtio.ErrUsedIndex},
		{"index", func(q *virtiotest.Queue, c *virtiotest.Chain) { q.SetUsedIndex(8); q.Push(0, 0) }, virtio.ErrUsedIndex},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Without EVENT_IDX, so that the device interrupts in any case.
			d, dev, mem := start(t, virtio.FeatureVersion1|mountTag, 64, func(q *virtiotest.Queue, c *virtiotest.Chain) {
				tt.serve(q, c)
				q.Flush()
			})
			out, in := mem.Buffer(0, 8), mem.Buffer(0, 32)
			if _, err := d.Exchange([][]byte{out}, [][]byte{in}); !errors.Is(err, tt.want) {
				t.Errorf("Exchange = %v; want %v", err, tt.want)
			}
			if _, err := d.Exchange([][]byte{out}, [][]byte{in}); !errors.Is(err, tt.want) {
				t.Errorf("Exchange after that = %v; want %v", err, tt.want)
			}
			if dev.Alive() {
				t.Error("device was not reset")
			}
		})
	}
}

func TestNeedsReset(t *testing.T) {
	d, dev, mem := start(t, modern, 64, func(q *virtiotest.Queue, c *virtiotest.Chain) {})
	go dev.NeedReset()
	if _, err := d.Exchange([][]byte{mem.Buffer(0, 8)}, [][]byte{mem.Buffer(0, 8)}); !errors.Is(err, virtio.ErrNeedsReset) {
		t.Errorf("Exchange = %v; want %v", err, virtio.ErrNeedsReset)
	}
}

func TestNewRefuses(t *testing.T) {
	mem := virtiotest.NewMemory(8)
	long := config(string(make([]byte, 256)))
	for name, tt := range map[string]struct {
		dev  *virtiotest.Device
		want error
	}{
		"type":     {virtiotest.NewDevice(virtio.TypeNet, mem, modern, config("a"), 64), p9.ErrNotP9},
		"no tag":   {virtiotest.NewDevice(virtio.Type9P, mem, modern&^mountTag, config("a"), 64), virtio.ErrFeatures},
		"empty":    {virtiotest.NewDevice(virtio.Type9P, mem, modern, config(""), 64), p9.ErrTag},
		"long":     {virtiotest.NewDevice(virtio.Type9P, mem, modern, long, 64), p9.ErrTag},
		"no queue": {virtiotest.NewDevice(virtio.Type9P, mem, modern, config("a")), virtio.ErrNoQueue},
	} {
		if _, err := p9.New(tt.dev, mem); !errors.Is(err, tt.want) {
			t.Errorf("%s: New = %v; want %v", name, err, tt.want)
		}
	}
}

// Whatever the device writes in its rings, a request ends with an answer that
// is no longer than its room, or with an error.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 32, 0, 0, 0, 1, 0}, uint16(1))
	f.Add([]byte{0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 2, 0, 0, 0, 32, 0, 0, 0, 1, 0}, uint16(2))
	f.Add([]byte{9, 9, 9, 9, 255, 255, 255, 255, 1, 0}, uint16(4))
	f.Fuzz(func(t *testing.T, script []byte, used uint16) {
		mem := virtiotest.NewMemory(8)
		dev := virtiotest.NewDevice(virtio.Type9P, mem, virtio.FeatureVersion1|mountTag, config("a"), 8)
		d, err := p9.New(dev, mem)
		if err != nil {
			t.Fatal(err)
		}
		const requests = 3
		notified := make(chan struct{}, requests)
		dev.Notified = func(int) { notified <- struct{}{} }
		var wg sync.WaitGroup
		for range requests {
			out, in := mem.Buffer(0, 16), mem.Buffer(0, 32)
			wg.Go(func() {
				if n, err := d.Exchange([][]byte{out}, [][]byte{in}); n < 0 || n > len(in) {
					t.Errorf("Exchange = %d, %v; the room is %d", n, err, len(in))
				}
			})
		}
		for range requests {
			<-notified
		}
		dev.Do(func() {
			q := dev.Queues[0]
			for at := uint16(0); len(script) >= 10; at++ {
				q.PutUsed(at, binary.LittleEndian.Uint32(script), binary.LittleEndian.Uint32(script[4:]))
				script = script[10:]
			}
			q.SetUsedIndex(used)
		})
		d.HandleInterrupt()
		d.Close()
		wg.Wait()
	})
}
