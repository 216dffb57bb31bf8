// Package ui is the yolk command's output to terminals: whether a file is a terminal, and one
// line of progress for work that takes longer than two seconds. Start with [Begin].
package ui

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// patience is how long a step may take before it is announced.
	patience = 2 * time.Second
	// again is how often a step is announced once more to what is no terminal, if its note has changed.
	again = 30 * time.Second
)

// Bold returns s in bold if w is a terminal that shows colours (NO_COLOR is
// honoured), and s as it is otherwise.
func Bold(w io.Writer, s string) string {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !IsTerminal(f) {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// Step is one announced piece of work. As an io.Writer it passes on the work's own output without
// mixing it with the line of progress.
type Step struct {
	mu    sync.Mutex
	w     io.Writer
	text  string
	note  string // how far it is
	live  bool   // w is a terminal: the line is rewritten with the seconds
	shown string // the last line
	last  time.Time
	start time.Time
	done  chan struct{}
}

// Begin starts a step: if it has not ended after two seconds, w gets the line
// "yolk: text ...", or on a terminal one with running seconds.
func Begin(w io.Writer, text string) *Step {
	s := &Step{w: w, text: text, start: time.Now(), done: make(chan struct{})}
	if f, ok := w.(*os.File); ok {
		s.live = IsTerminal(f)
	}
	go s.announce()
	return s
}

func (s *Step) announce() {
	t := time.NewTicker(patience)
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
			t.Reset(time.Second)
			s.mu.Lock()
			s.line()
			s.mu.Unlock()
		}
	}
}

func (s *Step) line() {
	select {
	case <-s.done:
		return
	default:
	}
	text := "yolk: " + s.text
	if s.note != "" {
		text += ": " + s.note
	}
	switch {
	case s.live:
		fmt.Fprintf(s.w, "\r%s ... %ds\x1b[K", text, int(time.Since(s.start).Seconds()))
	case s.shown == "" || text != s.shown && time.Since(s.last) >= again:
		fmt.Fprintf(s.w, "%s ...\n", text)
		s.last = time.Now()
	default:
		return
	}
	s.shown = text
}

// Note says how far the step is: the next line that is shown has it.
func (s *Step) Note(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = note
}

// Write passes p to the step's writer on a line of its own.
func (s *Step) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(p)
}

func (s *Step) clear() {
	if s.live && s.shown != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// End ends the step and removes its line from a terminal. It may be called
// twice.
func (s *Step) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
	default:
		close(s.done)
		s.clear()
	}
}
