package net_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

// sink is a Handler without locks or allocations, for one goroutine at a time.
type sink struct {
	buffers  [][]byte
	owners   []any // of buffers, and free list
	free     []int
	index    map[*byte]int
	received atomic.Int64
	sent     atomic.Int64
	bytes    atomic.Int64
	writable chan struct{}
}

func newSink(mem *virtiotest.Memory, n int) *sink {
	s := &sink{writable: make(chan struct{}, 1)}
	for i := range n {
		s.buffers = append(s.buffers, mem.Buffer(0, 2048))
		s.owners = append(s.owners, &s.buffers[i][0])
		s.free = append(s.free, i)
	}
	s.index = map[*byte]int{}
	for i, o := range s.owners {
		s.index[o.(*byte)] = i
	}
	return s
}

func (s *sink) Buffer() ([]byte, any) {
	if len(s.free) == 0 {
		return nil, nil
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return s.buffers[i], s.owners[i]
}

func (s *sink) Free(owner any) { s.free = append(s.free, s.index[owner.(*byte)]) }

func (s *sink) Receive(packets []virtionet.Packet) {
	for i := range packets {
		s.bytes.Add(int64(packets[i].Len))
		for _, b := range packets[i].Buffers {
			s.Free(b.Owner)
		}
	}
	s.received.Add(int64(len(packets)))
}

func (s *sink) Sent(any) { s.sent.Add(1) }

func (s *sink) Writable() {
	select {
	case s.writable <- struct{}{}:
	default:
	}
}

func (s *sink) LinkChanged(bool)      {}
func (s *sink) Failed(err error)      {}
func (b *fast) rx() *virtiotest.Queue { return b.dev.Queues[0] }
func (b *fast) tx() *virtiotest.Queue { return b.dev.Queues[1] }

type fast struct {
	*virtionet.Device
	sink *sink
	dev  *virtiotest.Device
	mem  *virtiotest.Memory
	c    virtiotest.Chain
}

func newFast(t testing.TB) *fast {
	mem := virtiotest.NewMemory(1024)
	dev := virtiotest.NewDevice(virtio.TypeNet, mem, all, configuration(), 256, 256)
	f := &fast{sink: newSink(mem, 600), dev: dev, mem: mem}
	var err error
	if f.Device, err = virtionet.New(dev, mem, f.sink, virtionet.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// pushAll makes the device fill n buffers with small packets.
func (f *fast) pushAll(n int, raw []byte) {
	for range n {
		if !f.rx().Pop(&f.c) {
			panic("no buffers")
		}
		f.rx().Push(f.c.Head, uint32(f.c.Fill(raw)))
	}
	f.rx().Flush()
}

func (f *fast) finishAll() {
	for f.tx().Pop(&f.c) {
		f.tx().Push(f.c.Head, 0)
	}
	f.tx().Flush()
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	f := newFast(t)
	raw := []byte(plainHeader + "packet")
	pieces := [][]byte{f.mem.Buffer(0, 54), f.mem.Buffer(4000, 1448)}
	var owner any = f
	round := func() {
		for range 16 {
			f.Send(virtionet.Header{}, pieces, owner)
		}
		f.Kick()
		f.finishAll()
		f.pushAll(16, raw)
		f.HandleInterrupt()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("16 packets each way make %v allocations; want 0", n)
	}
	if f.Err() != nil {
		t.Error(f.Err())
	}
}

func BenchmarkReceive(b *testing.B) {
	f := newFast(b)
	raw := []byte(plainHeader + "packet")
	b.ReportAllocs()
	for b.Loop() {
		f.pushAll(32, raw)
		f.HandleInterrupt()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/packet")
}

func BenchmarkSend(b *testing.B) {
	f := newFast(b)
	pieces := [][]byte{f.mem.Buffer(0, 54), f.mem.Buffer(0, 1448)}
	var owner any = f
	b.ReportAllocs()
	for b.Loop() {
		for range 32 {
			f.Send(virtionet.Header{}, pieces, owner)
		}
		f.Kick()
		f.finishAll()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/packet")
}

// A device in its own goroutine sends every packet back, while several
// goroutines send: nothing is lost and, under the race detector, every access
// to shared memory is ordered.
func TestLoopbackConcurrent(t *testing.T) {
	f := newFast(t)
	line, work := virtiotest.NewLine(), virtiotest.NewLine()
	defer line.Close()
	defer work.Close()
	f.dev.Raised = line.Raise
	f.dev.Notified = func(int) { work.Raise(0) }
	go f.loopback(work)
	go virtio.Serve(line.Wait, f.HandleInterrupt)

	const senders, each = 4, 2000
	for range senders {
		pieces := [][]byte{f.mem.Buffer(0, 54), f.mem.Buffer(4000, 1000)}
		go func() {
			for i := 0; i < each; {
				if err := f.Send(virtionet.Header{}, pieces, f); err == virtionet.ErrFull {
					<-f.sink.writable
					f.sink.Writable() // the others wait too
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if i++; i%8 == 0 {
					f.Kick()
				}
			}
			f.Kick()
		}()
	}
	for f.sink.received.Load() < senders*each && f.Err() == nil {
		runtime.Gosched()
	}
	if got := f.sink.bytes.Load(); got != senders*each*1054 || f.Err() != nil {
		t.Errorf("received %d bytes, err %v; want %d, nil", got, f.Err(), senders*each*1054)
	}
}

// loopback moves packets from the sending to the receiving queue.
func (f *fast) loopback(work *virtiotest.Line) {
	var in, out virtiotest.Chain
	var data []byte
	step := func() {
		for f.tx().Ready && f.tx().Available() > 0 {
			if !f.rx().Pop(&out) {
				if f.rx().SetNotify(true) {
					continue
				}
				return
			}
			f.tx().Pop(&in)
			data = in.Data(data[:0])
			data[10] = 1 // num_buffers
			f.rx().Push(out.Head, uint32(out.Fill(data)))
			f.rx().Flush()
			f.tx().Push(in.Head, 0)
			f.tx().Flush()
		}
		f.tx().SetNotify(true)
	}
	for {
		f.dev.Do(func() {
			for step(); f.tx().Ready && f.tx().Available() > 0 && f.rx().Available() > 0; {
				step()
			}
		})
		if work.Wait() != nil {
			return
		}
	}
}

// FuzzDevice plays a device that writes anything to both used rings and into
// the buffers. The driver must neither panic nor lose or repeat a buffer (the
// user panics at that).
func FuzzDevice(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x11\x00\x10\x00\x01"))
	f.Add([]byte("\x01\x00\x40\x05\x02\x01\x30\x30"))
	f.Fuzz(func(t *testing.T, script []byte) {
		mem := virtiotest.NewMemory(64)
		dev := virtiotest.NewDevice(virtio.TypeNet, mem, all, configuration(), 16, 16)
		u := newUser(mem, 0, 2048)
		d, err := virtionet.New(dev, mem, u, virtionet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		payload := mem.Buffer(0, 5000)
		var c virtiotest.Chain
		sent := 0
		for ; len(script) >= 4; script = script[4:] {
			q := dev.Queues[script[0]&1]
			if d.Send(virtionet.Header{}, [][]byte{payload[:1+int(script[3])*16]}, u) == nil {
				sent++
			}
			d.Kick()
			if d.Err() != nil {
				break
			}
			if q.Pop(&c) {
				c.Fill(append(make([]byte, 10), script[1]&7, script[2]>>7))
			}
			id := uint32(c.Head)
			if script[0]&0x80 != 0 {
				id = uint32(script[1])
			}
			q.PutUsed(q.UsedIndex(), id, uint32(script[2])*uint32(script[0]>>3&15))
			q.SetUsedIndex(q.UsedIndex() + uint16(int8(script[3])>>5) + 1)
			d.HandleInterrupt()
		}
		d.Close()
		if d.Err() != virtio.ErrClosed {
			<-u.failed
		}
		if held, back, _ := u.counts(); held != 0 || back != sent {
			t.Errorf("%d receive buffers lost, %d of %d packets came back", held, back, sent)
		}
	})
}

// FuzzConfig starts a device with any configuration and features.
func FuzzConfig(f *testing.F) {
	f.Add(all, configuration(), uint16(256), uint16(256))
	f.Add(uint64(0), []byte{}, uint16(0), uint16(3))
	f.Fuzz(func(t *testing.T, features uint64, config []byte, rx, tx uint16) {
		mem := virtiotest.NewMemory(64)
		dev := virtiotest.NewDevice(virtio.TypeNet, mem, features, config, int(rx), int(tx))
		dev.Old = features&virtio.FeatureVersion1 == 0
		u := newUser(mem, 0, 2048)
		d, err := virtionet.New(dev, mem, u, virtionet.Options{RxMax: 16, RxBuffers: 16})
		if err == nil {
			d.Send(virtionet.Header{}, [][]byte{mem.Buffer(0, 60)}, u)
			d.Kick()
			d.HandleInterrupt()
			d.Close()
		}
		if held, _, _ := u.counts(); held != 0 {
			t.Errorf("%d buffers were not returned", held)
		}
	})
}
