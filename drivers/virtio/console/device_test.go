package console_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/console"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
)

const (
	multiport = virtiotest.ConsoleMultiport
	size      = virtiotest.ConsoleSize
	modern    = virtio.FeatureVersion1 | virtio.FeatureEventIdx
)

// host is the device's side.
type host struct{ *virtiotest.Console }

// newHost returns a console with ports of these names, of 132 by 50 characters, and its driver.
func newHost(t *testing.T, features uint64, names ...string) (*host, *console.Device, *sizes) {
	mem := virtiotest.NewMemory(128)
	h := &host{virtiotest.NewConsole(t, mem, features, 132, 50, names...)}
	line := virtiotest.NewLine()
	h.Raised = line.Raise
	t.Cleanup(line.Close)
	s := &sizes{}
	d, err := console.New(h.Device, mem, console.Options{Resized: s.set})
	if err != nil {
		t.Fatal(err)
	}
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(d.Close)
	return h, d, s
}

type sizes struct {
	mu            sync.Mutex
	columns, rows int
}

func (s *sizes) set(columns, rows int) {
	s.mu.Lock()
	s.columns, s.rows = columns, rows
	s.mu.Unlock()
}

func (s *sizes) is(columns, rows int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.columns == columns && s.rows == rows
}

// eventually waits for a state of the host.
func (h *host) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		ok := false
		h.Do(func() { ok = is() })
		if ok {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func open(t *testing.T, d *console.Device, name string, in, out int) *console.Port {
	t.Helper()
	p, err := d.Port(name)
	if err == nil {
		err = p.Open(in, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// While there is something to read, what comes does not interrupt.
func TestInputInterrupts(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "in")
	in := open(t, d, "in", 16<<10, 0)
	h.eventually(t, "the port is open", func() bool { return h.Opened[0] })
	interrupts := 0
	h.Do(func() {
		raise := h.Raised
		h.Raised = func(c virtio.Cause) {
			interrupts++
			raise(c)
		}
	})
	want := pattern(4 << 10)
	for i := 0; i < len(want); i += 512 {
		h.Change(func() { h.ToGuest[0] = append(h.ToGuest[0], want[i:i+512]...) })
		h.eventually(t, "the bytes are in the driver's buffers", func() bool { return len(h.ToGuest[0]) == 0 })
	}
	h.Do(func() {
		if interrupts != 1 {
			t.Errorf("%d interrupts for bytes that nobody has read; want 1", interrupts)
		}
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("other bytes, or %v", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { h.Change(func() { h.ToGuest[0] = []byte("more") }) })
	if n, err := in.Read(got); string(got[:n]) != "more" || err != nil {
		t.Errorf("Read = %q, %v; want what came while it waited", got[:n], err)
	}
}

// Bytes go both ways, each through its own port, and the end of the host's input follows the last of them.
func TestPorts(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "in", "out", "err")
	in, out, errs := open(t, d, "in", 16<<10, 0), open(t, d, "out", 0, 64<<10), open(t, d, "err", 0, 4<<10)
	want := pattern(1 << 20)
	h.Change(func() {
		h.ToGuest[0] = bytes.Clone(want)
		h.Closed[0] = true
	})
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want %d and nil, right bytes %v", len(got), err, len(want), bytes.Equal(got, want))
	}
	for p, i := range map[*console.Port]int{out: 1, errs: 2} {
		if n, err := p.Write(want); n != len(want) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		h.Do(func() {
			if !bytes.Equal(h.Got[i], want) {
				t.Errorf("%d bytes had arrived when Write returned; want %d, right bytes %v", len(h.Got[i]), len(want), bytes.Equal(h.Got[i], want))
			}
		})
	}
	if name := out.Name(); name != "out" {
		t.Errorf("name %q", name)
	}
	h.eventually(t, "ports are open", func() bool { return h.Opened[0] && h.Opened[1] && h.Opened[2] })
}

// A host that does not take bytes makes the writer wait, and what was not read stays with the host.
func TestBackPressure(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "in", "out")
	in, out := open(t, d, "in", 16<<10, 0), open(t, d, "out", 0, 16<<10)
	h.Change(func() { h.Deaf[1], h.ToGuest[0] = true, pattern(100<<10) })
	written := make(chan error)
	go func() {
		_, err := out.Write(pattern(100 << 10))
		written <- err
	}()
	h.eventually(t, "the port's buffers are full", func() bool { return len(h.ToGuest[0]) == 100<<10-16<<10 })
	select {
	case err := <-written:
		t.Fatalf("Write returned %v; nobody has taken anything", err)
	case <-time.After(10 * time.Millisecond):
	}
	h.Change(func() { h.Deaf[1] = false })
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100<<10)
	if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, pattern(100<<10)) {
		t.Errorf("%v, right bytes %v", err, bytes.Equal(got, pattern(100<<10)))
	}
	h.Do(func() {
		if !bytes.Equal(h.Got[1], pattern(100<<10)) {
			t.Errorf("%d bytes have arrived", len(h.Got[1]))
		}
	})
}

// Writers at the same time all return, whoever of them sees the device's answers.
func TestWriters(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "out")
	out := open(t, d, "out", 0, 1<<10)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				if _, err := out.Write(pattern(100)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	h.Do(func() {
		if len(h.Got[0]) != 8*200*100 {
			t.Errorf("%d bytes; want %d", len(h.Got[0]), 8*200*100)
		}
	})
}

// A reader that has gone is an error of the write, as of a pipe.
func TestHostCloses(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "out")
	out := open(t, d, "out", 0, 1<<10)
	h.Change(func() { h.Deaf[0] = true })
	done := make(chan error)
	go func() {
		_, err := out.Write(pattern(10 << 10))
		done <- err
	}()
	h.Change(func() { h.Closed[0] = true })
	if err := <-done; !errors.Is(err, console.ErrClosed) {
		t.Errorf("Write = %v; want %v", err, console.ErrClosed)
	}
}

// What the host has closed before the driver came is at its end, and takes nothing.
func TestClosedBefore(t *testing.T) {
	mem := virtiotest.NewMemory(128)
	h := virtiotest.NewConsole(t, mem, modern|multiport, 0, 0, "in", "out", "control")
	h.Gone[0], h.Gone[1] = true, true
	line := virtiotest.NewLine()
	h.Raised = line.Raise
	t.Cleanup(line.Close)
	d, err := console.New(h.Device, mem, console.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go virtio.Serve(line.Wait, d.HandleInterrupt)
	t.Cleanup(d.Close)
	open(t, d, "control", 1<<10, 0)
	in, err := d.PortBefore("in")
	if err == nil {
		err = in.Open(1<<10, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v; want the end", n, err)
	}
	out, err := d.PortBefore("out")
	if err == nil {
		err = out.Open(0, 1<<10)
	}
	if _, e := out.Write([]byte("x")); err != nil || !errors.Is(e, console.ErrClosed) {
		t.Errorf("Open = %v, Write = %v; want nil, %v", err, e, console.ErrClosed)
	}
}

// Without MULTIPORT the device is a console with a size.
func TestSinglePort(t *testing.T) {
	for name, features := range map[string]uint64{"legacy": size, "modern": modern | size} {
		t.Run(name, func(t *testing.T) {
			h, d, s := newHost(t, features, "")
			p := d.Console()
			if err := p.Open(4<<10, 4<<10); err != nil {
				t.Fatal(err)
			}
			if !s.is(132, 50) {
				t.Errorf("size %d by %d; want 132 by 50", s.columns, s.rows)
			}
			h.SetConfig(0, 80, 0, 24, 0)
			h.eventually(t, "the new size is told", func() bool { return s.is(80, 24) })
			h.Change(func() { h.ToGuest[0] = []byte("typed") })
			b := make([]byte, 10)
			if n, err := p.Read(b); string(b[:n]) != "typed" || err != nil {
				t.Errorf("Read = %q, %v", b[:n], err)
			}
			if _, err := p.Write([]byte("shown")); err != nil {
				t.Error(err)
			}
			h.Do(func() {
				if string(h.Got[0]) != "shown" {
					t.Errorf("the host has %q", h.Got[0])
				}
			})
		})
	}
}

// A device with several ports tells sizes by a message.
func TestResizeMessage(t *testing.T) {
	h, d, s := newHost(t, modern|multiport|size, "", "control")
	if d.Console() != nil {
		t.Error("one of several ports is taken for the only one")
	}
	h.Change(func() { h.Messages = append(h.Messages, virtiotest.ConsoleMessage(0, 5, 0, "\x64\x00\x1e\x00")) })
	h.eventually(t, "the size is told", func() bool { return s.is(100, 30) })
}

// Messages that mean nothing do nothing: ports that are not there, names without end, sizes that are cut off,
// ports that are added twice or removed.
func TestHostileMessages(t *testing.T) {
	h, d, _ := newHost(t, modern|multiport, "a", "b")
	a := open(t, d, "a", 0, 1<<10)
	long := string(bytes.Repeat([]byte("x"), 56))
	h.Change(func() {
		h.Messages = append(h.Messages,
			virtiotest.ConsoleMessage(7, 1, 1, ""), virtiotest.ConsoleMessage(1<<31, 6, 1, ""), virtiotest.ConsoleMessage(0, 99, 1, ""), virtiotest.ConsoleMessage(0, 5, 0, "\x01"), virtiotest.ConsoleMessage(0, 1, 1, ""),
			virtiotest.ConsoleMessage(1, 7, 1, long), []byte{}, []byte{1, 2, 3}, virtiotest.ConsoleMessage(1, 2, 0, ""),
		)
	})
	h.eventually(t, "all are taken", func() bool { return len(h.Messages) == 0 })
	if _, err := a.Write([]byte("still here")); err != nil || !h.Alive() {
		t.Errorf("Write = %v, device alive: %v", err, h.Alive())
	}
}

// What no device may do ends it, and everybody who waits.
func TestHostileDevice(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(q *virtiotest.Queue, c *virtiotest.Chain)
		want error
	}{
		"unknown id": {func(q *virtiotest.Queue, c *virtiotest.Chain) { q.Push(15, 1) }, virtio.ErrUsedID},
		"index":      {func(q *virtiotest.Queue, c *virtiotest.Chain) { q.SetUsedIndex(900); q.Push(0, 0) }, virtio.ErrUsedIndex},
	} {
		t.Run(name, func(t *testing.T) {
			h, d, _ := newHost(t, virtio.FeatureVersion1|multiport, "out")
			out := open(t, d, "out", 0, 1<<10)
			h.Change(func() { h.Deaf[0] = true })
			done := make(chan error)
			go func() {
				_, err := out.Write([]byte("x"))
				done <- err
			}()
			h.eventually(t, "the chain is there", func() bool { return h.Queues[1].Available() > 0 })
			h.Do(func() {
				var c virtiotest.Chain
				h.Queues[1].Pop(&c)
				tt.do(h.Queues[1], &c)
				h.Queues[1].Flush()
			})
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("Write = %v; want %v", err, tt.want)
			}
			if _, err := d.Port("none"); !errors.Is(err, tt.want) {
				t.Errorf("Port = %v; want %v", err, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	mem := virtiotest.NewMemory(64)
	for _, tt := range []struct {
		dev  *virtiotest.Device
		want error
	}{
		{virtiotest.NewDevice(virtio.TypeNet, mem, modern, nil, 64, 64), console.ErrNotConsole},
		{virtiotest.NewDevice(virtio.TypeConsole, mem, 0, nil, 64, 64), virtio.ErrFeatures},
		{virtiotest.NewDevice(virtio.TypeConsole, mem, modern, nil, 64), virtio.ErrNoQueue},
		{virtiotest.NewDevice(virtio.TypeConsole, mem, modern|multiport, make([]byte, 8), 64, 64), console.ErrPorts},
	} {
		if _, err := console.New(tt.dev, mem, console.Options{}); !errors.Is(err, tt.want) {
			t.Errorf("New = %v; want %v", err, tt.want)
		}
	}
}
