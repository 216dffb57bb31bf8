// Package ask answers questions of the host about the machine and its program, over a port of the virtio console
// (docs/inside.md). It sends what it finds as it is: tools/internal/inside makes something readable of it. Every program
// has it, and so it is small: it knows one question, and package more, which most programs have, the others.
//
// A question is a line: Version, a word and, for some words, an argument, with a blank between them. It is answered before the
// next one is read. An answer is a sequence of frames: a byte that tells the kind, the length of what follows in four
// bytes, little-endian, and that.
//
// Start reading at serve.
package ask

import (
	"bytes"
	"runtime"

	"github.com/yolk-unikernel/yolk/drivers/virtio/console"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/streams"
)

// Version begins each question.
const Version = "1"

// Kinds of frames.
const (
	frameData  = 'd' // a part of the answer; the first one is empty, and says that the question has come
	frameEnd   = 'e' // the end, empty
	frameError = 'x' // the end, and why there is not more
)

// portName is the port's: tools/internal/qemu has the other end.
const portName = "yolk.ask"

// Sizes of the port's buffers, and of the longest question, in bytes.
const (
	inSize  = 4 << 10
	outSize = 32 << 10
	maxLine = 128
)

// More answers further questions in programs that have package more, else it is nil. It returns why there is not
// more, or "".
var More func(w *Answer, word, arg string) string

func init() {
	if d := streams.Device(); d != nil && d.Console() == nil {
		go serve(d)
	}
}

// serve answers questions until the device ends. A host without the port never asks.
func serve(d *console.Device) {
	p, err := d.Port(portName)
	if err != nil || p.Open(inSize, outSize) != nil {
		return
	}
	w := &Answer{p}
	var line []byte
	var b [maxLine]byte
	for {
		n, err := p.Read(b[:])
		if err != nil {
			return
		}
		for _, c := range b[:n] {
			if c == '\n' {
				w.answer(line)
				line = line[:0]
			} else if len(line) < maxLine {
				line = append(line, c)
			}
		}
	}
}

// Answer is what goes back to the host.
type Answer struct{ port *console.Port }

// Write sends p, and waits until the host has taken it.
func (w *Answer) Write(p []byte) (int, error) { return w.send(frameData, p) }

func (w *Answer) send(kind byte, p []byte) (int, error) {
	n := len(p)
	w.port.Write([]byte{kind, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	return w.port.Write(p)
}

// answer answers one question.
func (w *Answer) answer(line []byte) {
	w.Write(nil)
	version, rest, _ := bytes.Cut(line, []byte{' '})
	word, arg, _ := bytes.Cut(rest, []byte{' '})
	why := "only programs with package context (net and os/signal have it) carry the answer"
	switch {
	case string(version) != Version:
		why = "the image knows version " + Version + " of the questions"
	case string(word) == "stacks":
		why = w.stacks()
	case More != nil:
		why = More(w, string(word), string(arg))
	}
	if why == "" {
		w.send(frameEnd, nil)
	} else {
		w.send(frameError, []byte(why))
	}
}

// stacks sends all stacks of one moment, as the runtime prints them. They take at most a quarter of the free memory.
func (w *Answer) stacks() string {
	_, free := wiring.Memory()
	for size := uint64(64 << 10); ; size *= 2 {
		b := make([]byte, size)
		n := runtime.Stack(b, true)
		last := size > free/8
		if n < len(b) || last {
			w.Write(b[:n])
		}
		switch {
		case n < len(b):
			return ""
		case last:
			return "there is not enough memory for the other stacks"
		}
	}
}
