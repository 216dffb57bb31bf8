package virtiotest

import (
	"encoding/binary"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Features of a console (virtio 1.2 §5.3.3).
const (
	ConsoleSize      = 1 << 0
	ConsoleMultiport = 1 << 1
)

// Console is a virtio console, with what the host has got and what it sends. The fields are the device's while
// it works: see Change.
type Console struct {
	*Device
	work *Line

	names    []string
	Messages [][]byte       // control messages to the driver, not sent yet
	Opened   map[int]bool   // ports, by the driver
	ToGuest  map[int][]byte // by port
	Got      map[int][]byte // by port
	Deaf     map[int]bool   // ports that take nothing
	Closed   map[int]bool   // ports whose end is to be told when ToGuest is empty
	Gone     map[int]bool   // ports that were closed before the driver came
}

// ConsoleMessage is struct virtio_console_control with what follows it (§5.3.6.2).
func ConsoleMessage(port uint32, event, value uint16, rest string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, port)
	b = binary.LittleEndian.AppendUint16(b, event)
	b = binary.LittleEndian.AppendUint16(b, value)
	return append(b, rest...)
}

// NewConsole returns a console of columns by rows characters with ports of these names, the first being number
// 0; "" is a console. It works until the test ends.
func NewConsole(t testing.TB, mem *Memory, features uint64, columns, rows uint16, names ...string) *Console {
	config := binary.LittleEndian.AppendUint16(nil, columns)
	config = binary.LittleEndian.AppendUint16(config, rows)
	config = binary.LittleEndian.AppendUint32(config, uint32(len(names)))
	var queues []int
	for range 2*len(names) + 2 {
		queues = append(queues, 64)
	}
	h := &Console{Device: NewDevice(virtio.TypeConsole, mem, features, config, queues...), names: names, Opened: map[int]bool{},
		ToGuest: map[int][]byte{}, Got: map[int][]byte{}, Deaf: map[int]bool{}, Closed: map[int]bool{}, Gone: map[int]bool{}}
	h.Old = features&virtio.FeatureVersion1 == 0
	h.work = NewLine()
	h.Notified = func(int) { h.work.Raise(0) }
	go func() {
		for h.work.Wait() == nil {
			h.Do(h.serve)
		}
	}()
	t.Cleanup(h.work.Close)
	return h
}

// Change changes what the host does and puts the device to work.
func (h *Console) Change(f func()) {
	h.Do(f)
	h.work.Raise(0)
}

func (h *Console) serve() {
	if h.Accepted()&ConsoleMultiport != 0 {
		h.control()
	}
	var c Chain
	for i := range h.names {
		in, out := h.Queues[i*2], h.Queues[i*2+1]
		if i > 0 {
			in, out = h.Queues[2+i*2], h.Queues[3+i*2]
		}
		in.take(&c, func() bool { return len(h.ToGuest[i]) > 0 }, func() {
			n := c.Fill(h.ToGuest[i])
			h.ToGuest[i] = h.ToGuest[i][n:]
			in.Push(c.Head, uint32(n))
		})
		if h.Closed[i] && len(h.ToGuest[i]) == 0 {
			delete(h.Closed, i)
			h.Messages = append(h.Messages, ConsoleMessage(uint32(i), 6, 0, ""))
			h.send()
		}
		out.take(&c, func() bool { return !h.Deaf[i] }, func() {
			h.Got[i] = c.Data(h.Got[i])
			out.Push(c.Head, 0)
		})
	}
}

// take has f take chains while there are some and more are wanted.
func (q *Queue) take(c *Chain, more func() bool, f func()) {
	for more() && (q.Pop(c) || q.Ready && q.SetNotify(true) && q.Pop(c)) {
		f()
	}
	if q.Ready { // the device may have been reset
		q.Flush()
	}
}

// control answers the driver's messages as QEMU does.
func (h *Console) control() {
	var c Chain
	out := h.Queues[3]
	out.take(&c, func() bool { return true }, func() {
		m := c.Data(nil)
		out.Push(c.Head, 0)
		h.answer(binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint16(m[4:]), binary.LittleEndian.Uint16(m[6:]))
	})
	h.send()
}

func (h *Console) answer(port uint32, event, value uint16) {
	add := func(port uint32, event uint16, rest string) {
		h.Messages = append(h.Messages, ConsoleMessage(port, event, 1, rest))
	}
	const deviceReady, deviceAdd, portReady, consolePort, portOpen, portName = 0, 1, 3, 4, 6, 7
	switch {
	case event == deviceReady && value == 1:
		for i := range h.names {
			add(uint32(i), deviceAdd, "")
		}
	case event == portReady && value == 1:
		if name := h.names[port]; name == "" {
			add(port, consolePort, "")
		} else {
			add(port, portName, name+"\x00")
		}
		if !h.Gone[int(port)] {
			add(port, portOpen, "")
		}
	case event == portOpen:
		h.Opened[int(port)] = value == 1
	}
}

func (h *Console) send() {
	var c Chain
	in := h.Queues[2]
	in.take(&c, func() bool { return len(h.Messages) > 0 }, func() {
		in.Push(c.Head, uint32(c.Fill(h.Messages[0])))
		h.Messages = h.Messages[1:]
	})
}
