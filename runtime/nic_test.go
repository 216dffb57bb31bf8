//go:build !yolk

package runtime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/cards"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// Both sides agree on the methods.
var (
	_ machineNIC  = (*cards.Listed)(nil)
	_ machineCard = (*cards.Card)(nil)
)

func TestRawFrame(t *testing.T) {
	var f Frame
	var r rawFrame
	o := unsafe.Offsetof(f.Offload)
	for name, offsets := range map[string][2]uintptr{
		"Data":           {unsafe.Offsetof(f.Data), unsafe.Offsetof(r.Data)},
		"More":           {unsafe.Offsetof(f.More), unsafe.Offsetof(r.More)},
		"Flags":          {o + unsafe.Offsetof(f.Offload.Flags), unsafe.Offsetof(r.Flags)},
		"GSO":            {o + unsafe.Offsetof(f.Offload.GSO), unsafe.Offsetof(r.GSO)},
		"HeaderLen":      {o + unsafe.Offsetof(f.Offload.HeaderLen), unsafe.Offsetof(r.HeaderLen)},
		"SegmentSize":    {o + unsafe.Offsetof(f.Offload.SegmentSize), unsafe.Offsetof(r.SegmentSize)},
		"ChecksumStart":  {o + unsafe.Offsetof(f.Offload.ChecksumStart), unsafe.Offsetof(r.ChecksumStart)},
		"ChecksumOffset": {o + unsafe.Offsetof(f.Offload.ChecksumOffset), unsafe.Offsetof(r.ChecksumOffset)},
		"Done":           {unsafe.Offsetof(f.Done), unsafe.Offsetof(r.Done)},
		"owner":          {unsafe.Offsetof(f.owner), unsafe.Offsetof(r.Owner)},
		"the size":       {unsafe.Sizeof(f), unsafe.Sizeof(r)},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d in Frame and at %d in what package cards has", name, offsets[0], offsets[1])
		}
	}
}

const (
	modern   = virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc
	basic    = modern | virtionet.FeatureMAC | virtionet.FeatureStatus | virtionet.FeatureMTU
	offloads = virtionet.FeatureCsum | virtionet.FeatureHostTSO4 | virtionet.FeatureGuestCsum |
		virtionet.FeatureGuestTSO4 | virtionet.FeatureMrgRxbuf
)

// lab is a machine with two cards and a cable between them.
type lab struct {
	*wiringtest.Machine
	t     *testing.T
	devs  [2]*virtiotest.Device
	cards []machineNIC
	// cut keeps the cable from moving frames.
	cut  atomic.Bool
	work *virtiotest.Line
	in   virtiotest.Chain
	out  virtiotest.Chain
	data []byte
}

func newLab(t *testing.T, m *wiringtest.Machine, features uint64) *lab {
	l := &lab{Machine: m, t: t, work: virtiotest.NewLine()}
	for i := range l.devs {
		config := []byte{0x52, 0x54, 0, 0, 0, byte(1 + i), 1, 0, 1, 0, 0xdc, 0x05} // MTU 1500
		l.devs[i] = virtiotest.NewDevice(virtio.TypeNet, m.DeviceMemory(), features, config, 256, 256)
		l.devs[i].Notified = func(int) { l.work.Raise(0) }
		m.Add(l.devs[i])
	}
	m.Start()
	t.Cleanup(l.work.Close)
	go func() {
		for l.work.Wait() == nil {
			l.devs[0].Do(func() { l.devs[1].Do(l.move) })
		}
	}()
	l.cards = machineNICs(cards.List())
	return l
}

// move takes frames from each card to the other while there are buffers for them.
func (l *lab) move() {
	for again := true; again && !l.cut.Load(); {
		again = false
		for i := range l.devs {
			again = l.moveFrom(l.devs[i], l.devs[1-i]) || again
		}
	}
}

func (l *lab) moveFrom(from, to *virtiotest.Device) (again bool) {
	if !from.Alive() || !to.Alive() { // being opened, maybe
		return false
	}
	tx, rx := from.Queues[1], to.Queues[0]
	in, out := &l.in, &l.out
	for tx.Ready && rx.Ready && tx.Available() > 0 && rx.Available() > 0 {
		tx.Pop(in)
		l.data = in.Data(l.data[:0])
		data := l.data
		n := 0
		for n == 0 || len(data) > 0 && rx.Available() > 0 {
			rx.Pop(out)
			put := out.Fill(data)
			data = data[put:]
			rx.Push(out.Head, uint32(put))
			if n++; n == 1 {
				out.Write[0][10] = 1 // num_buffers
				binary.LittleEndian.PutUint16(out.Write[0][10:], uint16((len(data)+put+2047)/2048))
			}
		}
		rx.Flush()
		tx.Push(in.Head, 0)
		tx.Flush()
	}
	return tx.Ready && tx.SetNotify(true) && rx.Ready && (rx.SetNotify(true) || rx.Available() > 0)
}

func (l *lab) open(i int, o NICOptions) *NIC {
	l.t.Helper()
	n, err := openNIC(l.cards, fmt.Sprintf("eth%d", i), o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { n.Close() })
	return n
}

func inLab(t *testing.T, features uint64, f func(t *testing.T, l *lab)) {
	t.Helper()
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) { f(t, newLab(t, m, features)) })
}

// frame returns frame number i: an Ethernet header, the number, and a pattern.
func frame(i int) []byte {
	b := make([]byte, 60+i*7919%1455)
	for k := range b {
		b[k] = byte(i + k)
	}
	binary.BigEndian.PutUint32(b[14:], uint32(i))
	return b
}

func TestNICs(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		list := func() (s []NICInfo) {
			for _, m := range l.cards {
				s = append(s, infoOf(m))
			}
			return s
		}
		want := []NICInfo{
			{"eth0", "mmio 0xfeb00000", [6]byte{0x52, 0x54, 0, 0, 0, 1}, 1500, NICFree},
			{"eth1", "mmio 0xfeb00200", [6]byte{0x52, 0x54, 0, 0, 0, 2}, 1500, NICFree},
		}
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("NICs = %+v; want %+v", got, want)
		}
		n := l.open(1, NICOptions{})
		want[1].User = NICProgram
		if got := list(); !slices.Equal(got, want) || n.Info() != want[1] {
			t.Errorf("NICs = %+v, Info = %+v; want eth1 the program's", got, n.Info())
		}
		if _, err := openNIC(l.cards, "eth1", NICOptions{}); err != ErrNICBusy {
			t.Errorf("OpenNIC of an open card = %v; want %v", err, ErrNICBusy)
		}
		if _, err := openNIC(l.cards, "eth2", NICOptions{}); err != ErrNoNIC {
			t.Errorf("OpenNIC(eth2) = %v; want %v", err, ErrNoNIC)
		}
		if err := n.Close(); err != nil || l.devs[1].Status() != 0 {
			t.Errorf("Close = %v, status %#x; want nil, 0", err, l.devs[1].Status())
		}
		if err := n.Close(); err != ErrNICClosed {
			t.Errorf("second Close = %v; want %v", err, ErrNICClosed)
		}
		want[1].User = NICFree
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("NICs = %+v; want eth1 free again", got)
		}
		for range 3 { // its interrupt is the same each time
			l.open(1, NICOptions{}).Close()
		}
	})
	if _, err := OpenNIC("eth0", NICOptions{}); err != ErrNotMachine || len(NICs()) != 0 {
		t.Errorf("on a host, OpenNIC = %v and there are %d cards; want %v, none", err, len(NICs()), ErrNotMachine)
	}
}

// Frames go from one card to the other, are sent back as they lie, and come back whole
// and in their order.
func TestNICForward(t *testing.T) {
	for name, features := range map[string]uint64{"event index": basic, "flags": basic &^ virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) { inLab(t, features, testForward) })
	}
}

func testForward(t *testing.T, l *lab) {
	const total = 20000
	a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{Buffers: 300})
	go func() { // b sends back
		frames := make([]Frame, 64)
		for {
			n, err := b.Receive(frames)
			if err != nil {
				return
			}
			if sent, err := b.Send(frames[:n]); err != nil {
				t.Errorf("Send = %d, %v; want %d", sent, err, n)
				return
			}
			for _, f := range frames[:n] {
				if f.Data != nil {
					t.Error("a received frame is still there after Send")
				}
			}
		}
	}()
	var done atomic.Int64
	go func() {
		for i := 0; i < total; i += 8 {
			var frames [8]Frame
			for k := range frames {
				d := frame(i + k)
				cut := 20 + k
				frames[k] = Frame{Data: d[:cut:cut], More: [][]byte{d[cut:]}, Done: func() { done.Add(1) }}
			}
			if n, err := a.Send(frames[:]); err != nil {
				t.Errorf("Send = %d, %v", n, err)
			}
		}
	}()
	frames := make([]Frame, 100)
	for i := 0; i < total; {
		n, err := a.Receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		for k := range frames[:n] {
			if !bytes.Equal(frames[k].Data, frame(i)) || frames[k].Len() != len(frame(i)) || frames[k].Offload != (Offload{}) {
				t.Fatalf("frame %d came as %d bytes with %+v; want it as it was", i, frames[k].Len(), frames[k].Offload)
			}
			i++
			if err := frames[k].Release(); err != nil {
				t.Fatalf("Release = %v", err)
			}
		}
	}
	if err := a.Flush(); err != nil || done.Load() != total {
		t.Errorf("Flush = %v, Done was called %d times; want nil, %d", err, done.Load(), total)
	}
	s, r := a.Stats(), b.Stats()
	if s.SentFrames != total || s.ReceivedFrames != total || s.SentBytes != s.ReceivedBytes || r.ReceivedBytes != s.SentBytes {
		t.Errorf("a counts %+v, b %+v; want %d frames each way", s, r, total)
	}
}

// The way of a frame allocates nothing, from the program's memory to a card, and from
// there to the other one and back.
func TestNICDoesNotAllocate(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{})
		const batch = 16
		own := make([]Frame, batch)
		done := func() {}
		frames := make([]Frame, batch)
		receive := func(n *NIC) {
			for got := 0; got < batch; {
				more, err := n.Receive(frames[got:])
				if err != nil {
					t.Fatal(err)
				}
				got += more
			}
		}
		data := frame(1)
		round := func() {
			for i := range own {
				own[i] = Frame{Data: data, Done: done}
			}
			a.Send(own)
			receive(b)
			b.Send(frames)
			receive(a)
			for i := range frames {
				frames[i].Release()
			}
		}
		for range 100 { // buffers are made as they are needed
			round()
		}
		// Each interrupt of the host's stand-in for a machine makes one.
		if n := testing.AllocsPerRun(100, round); n > batch/2 {
			t.Errorf("%d frames there and back make %v allocations; want none for each", batch, n)
		}
	})
}

// Flush does not wait for a timer.
func TestNICFlush(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, _ := l.open(0, NICOptions{}), l.open(1, NICOptions{})
		begin := time.Now()
		done := false
		if n, err := a.Send([]Frame{{Data: frame(1), Done: func() { done = true }}}); n != 1 || err != nil {
			t.Fatalf("Send = %d, %v", n, err)
		}
		if err := a.Flush(); err != nil || !done || time.Since(begin) > 0 {
			t.Errorf("Flush = %v after %v, Done called: %v; want nil, at once, true", err, time.Since(begin), done)
		}
	})
}

func TestNICSendRefuses(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{})
		for name, tt := range map[string]struct {
			f    Frame
			want error
		}{
			"no frame":     {Frame{}, ErrFrame},
			"no header":    {Frame{Data: make([]byte, 13)}, ErrFrame},
			"too long":     {Frame{Data: make([]byte, 1519)}, ErrFrame},
			"in pieces":    {Frame{Data: make([]byte, 1000), More: [][]byte{make([]byte, 519)}}, ErrFrame},
			"checksum":     {Frame{Data: frame(0), Offload: Offload{Flags: NeedsChecksum, ChecksumStart: 34, ChecksumOffset: 16}}, ErrOffload},
			"segmentation": {Frame{Data: frame(0), Offload: Offload{Flags: NeedsChecksum, GSO: GSOTCPv4, SegmentSize: 1000}}, ErrOffload},
		} {
			frames := []Frame{{Data: frame(7)}, tt.f, {Data: frame(8)}}
			if n, err := a.Send(frames); n != 1 || err != tt.want {
				t.Errorf("%s: Send = %d, %v; want 1, %v", name, n, err, tt.want)
			}
		}
		frames := make([]Frame, 10)
		n, err := b.Receive(frames)
		if err != nil || !bytes.Equal(frames[0].Data, frame(7)) {
			t.Fatalf("Receive = %d, %v; want the frames before", n, err)
		}
		twice := frames[0]
		if err := frames[0].Release(); err != nil || frames[0].Data != nil {
			t.Errorf("Release = %v, the frame is empty: %v; want nil, true", err, frames[0].Data == nil)
		}
		if n, err := b.Send([]Frame{twice}); n != 0 || err != ErrReleased {
			t.Errorf("Send of a released frame = %d, %v; want 0, %v", n, err, ErrReleased)
		}
		if err := twice.Release(); err != ErrReleased {
			t.Errorf("second Release = %v; want %v", err, ErrReleased)
		}
		if err := (&Frame{Data: frame(1)}).Release(); err != nil {
			t.Errorf("Release of the program's own frame = %v; want nil", err)
		}
	})
}

func TestNICOffloads(t *testing.T) {
	inLab(t, basic|offloads, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{Offload: true})
		if o, want := a.Offloads(), (NICOffloads{SendChecksum: true, SendTSO4: true}); o != want {
			t.Errorf("Offloads = %+v; want %+v", o, want)
		}
		if o := b.Offloads(); !o.ReceiveChecksum || !o.ReceiveTSO4 || o.ReceiveTSO6 {
			t.Errorf("Offloads with NICOptions.Offload = %+v; want checksum and TSO4", o)
		}
		big := make([]byte, 30000)
		for i := range big {
			big[i] = byte(i * 31)
		}
		o := Offload{Flags: NeedsChecksum, GSO: GSOTCPv4, HeaderLen: 54, SegmentSize: 1446, ChecksumStart: 34, ChecksumOffset: 16}
		for range 30 { // the buffers go round
			if n, err := a.Send([]Frame{{Data: big, Offload: o}}); n != 1 || err != nil {
				t.Fatalf("Send = %d, %v", n, err)
			}
			frames := make([]Frame, 2)
			n, err := b.Receive(frames)
			if err != nil || n != 1 {
				t.Fatalf("Receive = %d, %v", n, err)
			}
			f := &frames[0]
			if got := append(bytes.Clone(f.Data), bytes.Join(f.More, nil)...); !bytes.Equal(got, big) || f.Offload != o || f.Len() != len(big) {
				t.Fatalf("received %d bytes, %+v; want %d, %+v", f.Len(), f.Offload, len(big), o)
			}
			f.Release()
		}
		if s := b.Stats(); s.Starved != 0 {
			t.Errorf("no buffer was there %d times; want all of them released", s.Starved)
		}
	})
}

// A program that keeps frames gets no more than its buffers hold, and goes on when it
// releases them.
func TestNICStarved(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{Buffers: 256})
		go func() {
			for i := range 1000 {
				if _, err := a.Send([]Frame{{Data: frame(i)}}); err != nil {
					return
				}
			}
		}()
		var kept []Frame
		for len(kept) < 256 {
			frames := make([]Frame, 256)
			n, err := b.Receive(frames)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, frames[:n]...)
		}
		synctest.Wait()
		if s := b.Stats(); s.ReceivedFrames != 256 || s.Starved == 0 {
			t.Errorf("%+v; want 256 frames, and starved", s)
		}
		for i := 0; i < 1000; {
			for k := range kept {
				if !bytes.Equal(kept[k].Data, frame(i)) {
					t.Fatalf("frame %d is another or has changed", i)
				}
				kept[k].Release()
				i++
			}
			if i == 1000 {
				break
			}
			kept = make([]Frame, 256)
			n, err := b.Receive(kept)
			if err != nil {
				t.Fatal(err)
			}
			kept = kept[:n]
		}
	})
}

func TestNICDeadline(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{})
		frames := make([]Frame, 1)
		begin := time.Now()
		a.SetReceiveDeadline(begin.Add(time.Second))
		if n, err := a.Receive(frames); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("Receive = %d, %v after %v; want 0, %v, 1 s", n, err, time.Since(begin), os.ErrDeadlineExceeded)
		}
		if n, err := a.Receive(frames); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Receive after the deadline = %d, %v; want 0, %v", n, err, os.ErrDeadlineExceeded)
		}
		b.Send([]Frame{{Data: frame(3)}})
		synctest.Wait()
		if n, err := a.Receive(frames); n != 1 || err != nil {
			t.Errorf("Receive of what is there, after the deadline = %d, %v; want 1, nil", n, err)
		}
		go func() { time.Sleep(time.Second); a.SetReceiveDeadline(time.Now()) }()
		a.SetReceiveDeadline(time.Time{})
		if _, err := a.Receive(frames); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Receive while the deadline is set = %v; want %v", err, os.ErrDeadlineExceeded)
		}
	})
}

// Close ends what waits, and gives all memory back.
func TestNICClose(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		l.cut.Store(true)
		a := l.open(0, NICOptions{})
		ended := make(chan error)
		go func() {
			_, err := a.Receive(make([]Frame, 1))
			ended <- err
		}()
		sent, done := 0, 0
		go func() { // until the ring is full
			for {
				if _, err := a.Send([]Frame{{Data: frame(sent), Done: func() { done++ }}}); err != nil {
					ended <- err
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent == 0 || a.Stats().Waits == 0 {
			t.Errorf("%d frames were sent over a cut cable, waits %d; want some, and one", sent, a.Stats().Waits)
		}
		go func() { ended <- a.Flush() }()
		synctest.Wait()
		a.Close()
		for range 3 {
			if err := <-ended; err != ErrNICClosed {
				t.Errorf("a call that waited returned %v; want %v", err, ErrNICClosed)
			}
		}
		if done != sent {
			t.Errorf("Done was called for %d of %d frames", done, sent)
		}
		if _, err := a.Send([]Frame{{Data: frame(1)}}); err != ErrNICClosed {
			t.Errorf("Send = %v; want %v", err, ErrNICClosed)
		}
		if _, err := a.Receive(make([]Frame, 1)); err != ErrNICClosed {
			t.Errorf("Receive = %v; want %v", err, ErrNICClosed)
		}
	})
}

// A device that fails ends its card; the card can be opened again.
func TestNICFails(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a, b := l.open(0, NICOptions{}), l.open(1, NICOptions{})
		if l.devs[0].SetConfig(6, 0); a.LinkUp() {
			synctest.Wait()
		}
		if a.LinkUp() || !b.LinkUp() {
			t.Errorf("links up: %v, %v; want false, true", a.LinkUp(), b.LinkUp())
		}
		l.devs[0].NeedReset()
		if _, err := a.Receive(make([]Frame, 1)); err != virtio.ErrNeedsReset {
			t.Errorf("Receive = %v; want %v", err, virtio.ErrNeedsReset)
		}
		if _, err := a.Send([]Frame{{Data: frame(1)}}); err != virtio.ErrNeedsReset {
			t.Errorf("Send = %v; want %v", err, virtio.ErrNeedsReset)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v; want nil", err)
		}
		again := l.open(0, NICOptions{})
		if _, err := again.Send([]Frame{{Data: frame(5)}}); err != nil {
			t.Errorf("Send = %v; want nil", err)
		}
		frames := make([]Frame, 1)
		if n, err := b.Receive(frames); n != 1 || !bytes.Equal(frames[0].Data, frame(5)) {
			t.Errorf("Receive = %d, %v; want the frame", n, err)
		}
	})
}

// A device that does not let go keeps its card, and what it may write to.
func TestNICStuck(t *testing.T) {
	inLab(t, basic, func(t *testing.T, l *lab) {
		a := l.open(0, NICOptions{})
		l.devs[0].StuckReset = true
		if err := a.Close(); err != virtio.ErrReset {
			t.Errorf("Close = %v; want %v", err, virtio.ErrReset)
		}
		if _, err := openNIC(l.cards, "eth0", NICOptions{}); err != ErrNICBusy {
			t.Errorf("OpenNIC = %v; want %v", err, ErrNICBusy)
		}
	})
}
