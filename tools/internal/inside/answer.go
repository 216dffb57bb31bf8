// Package inside asks a VM what it looks like inside, and makes something readable of the answers. The other end is
// runtime/wiring/ask, which says what questions and answers look like; docs/inside.md follows one from the command
// to the guest and back. What a guest sends is not trusted: it may be anything.
//
// Start reading at [Port.Ask], which the process that holds the VM calls, and [Session.Ask], which yolk ask does.
package inside

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Version begins each question.
const Version = "1"

// Kinds of frames.
const (
	frameData  = 'd'
	frameEnd   = 'e'
	frameError = 'x'
	frameHost  = 'h' // an error, from the process that holds the VM: a guest does not send it
)

const frameHeader = 5

// maxEmpty is how many frames without data may follow each other.
const maxEmpty = 16

// maxWhy is how much of an error's text is read, in bytes.
const maxWhy = 1024

// These are errors of an answer.
var (
	ErrRubbish = errors.New("what the guest sends is not an answer: its image is of another version of yolk, or its memory is damaged")
	ErrSilent  = errors.New("the guest does not answer: it has not got so far, its image is older than this command, or its kernel hangs")
	ErrEnded   = errors.New("the VM has ended before it answered")
	ErrTooMuch = errors.New("the guest sends more than it should")
)

// A Refusal is the guest's reason for not answering, or not all.
type Refusal string

func (r Refusal) Error() string {
	var clean []rune
	for _, c := range string(r) {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 { // it goes to a terminal
			c = '?'
		}
		clean = append(clean, c)
	}
	return "the guest says: " + string(clean)
}

// reader reads the frames of an answer. It can go on after a deadline.
type reader struct {
	r     *bufio.Reader
	host  bool   // the frames come by the process that holds the VM
	alive func() // is called before a read that may wait; may be nil
	empty int    // frames without data since the last with some
	kind  byte
	rest  uint32 // of the frame's data, not read yet
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, 64<<10)} }

// next reads a frame's header.
func (r *reader) next() error {
	r.wait()
	h, err := r.r.Peek(frameHeader)
	if err != nil {
		return ended(err)
	}
	r.kind, r.rest = h[0], binary.LittleEndian.Uint32(h[1:])
	r.r.Discard(frameHeader)
	switch r.kind {
	case frameData:
		if r.rest > 0 {
			r.empty = 0
		} else if r.empty++; r.empty > maxEmpty {
			return ErrRubbish
		}
		return nil
	case frameError:
		return nil
	case frameEnd:
		if r.rest == 0 {
			return nil
		}
	case frameHost:
		if r.host {
			return nil
		}
	}
	return ErrRubbish
}

func (r *reader) wait() {
	if r.alive != nil {
		r.alive()
	}
}

// part returns the next part of the frame's data, which is valid until the next call; at its end nothing.
func (r *reader) part() ([]byte, error) {
	if r.rest == 0 {
		return nil, nil
	}
	if r.r.Buffered() == 0 {
		r.wait()
		if _, err := r.r.Peek(1); err != nil {
			return nil, ended(err)
		}
	}
	b, _ := r.r.Peek(min(r.r.Buffered(), int(min(r.rest, 1<<30))))
	r.r.Discard(len(b))
	r.rest -= uint32(len(b))
	return b, nil
}

// ended is what an error of a connection means.
func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSilent
	}
	return ErrEnded
}

// answer reads one answer to its end, and calls each with its data. An answer that is refused is a Refusal.
func (r *reader) answer(each func(p []byte) error) error {
	var why []byte
	for {
		for r.rest > 0 {
			b, err := r.part()
			if err != nil {
				return err
			}
			if r.kind != frameData {
				why = append(why, b[:min(len(b), maxWhy-len(why))]...)
			} else if err := each(b); err != nil {
				return err
			}
		}
		switch r.kind {
		case frameEnd:
			r.kind = 0
			return nil
		case frameError:
			r.kind = 0
			return Refusal(why)
		case frameHost:
			return errors.New(string(why))
		}
		if err := r.next(); err != nil {
			return err
		}
	}
}

// Conn is a connection with a guest's port.
type Conn interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Port is this end of a guest's port. One question at a time goes there.
type Port struct {
	conn    Conn
	r       *reader
	owed    bool // the end of an answer has not come
	rubbish bool
	dropped int
	until   time.Time // if it is not zero, when an answer that nobody wants is to be there
	// Patience is how long the guest may send nothing.
	Patience time.Duration
}

// patience is that of a port. A machine that is emulated may be slow.
const patience = 15 * time.Second

// NewPort makes a Port of a connection.
func NewPort(c Conn) *Port {
	return &Port{conn: c, r: newReader(c), Patience: patience}
}

// Ask sends a question, a line, and writes the answer to w, in frames for a Session. If w fails the rest is read, and dropped, and so
// is the rest of an answer that an earlier Ask did not wait for: the next question is to get its own. The error is
// ErrSilent, ErrEnded, ErrRubbish, or that of w.
func (p *Port) Ask(line string, w io.Writer) (err error) {
	if p.rubbish {
		return ErrRubbish
	}
	defer func() { p.rubbish = err == ErrRubbish }()
	p.until = time.Time{}
	if p.owed {
		if err := p.read(p.drop); err != nil && !refused(err) {
			return err
		}
	}
	p.conn.SetWriteDeadline(time.Now().Add(p.Patience))
	if _, err := io.WriteString(p.conn, line+"\n"); err != nil {
		return ended(err)
	}
	p.owed = true
	var failed error
	err = p.read(func(b []byte) error {
		if failed != nil {
			return p.drop(b)
		}
		if failed = writeFrame(w, frameData, b); failed != nil {
			p.until = time.Now().Add(dropTime)
		}
		return nil
	})
	switch why := Refusal(""); {
	case failed != nil && (err == nil || refused(err)):
		return failed
	case errors.As(err, &why):
		return writeFrame(w, frameError, []byte(why))
	case err == nil:
		return writeFrame(w, frameEnd, nil)
	}
	return err
}

func refused(err error) bool {
	why := Refusal("")
	return errors.As(err, &why)
}

// maxDrop is how much of answers that nobody wants is read, in bytes, until the guest is given up.
const maxDrop = 256 << 20

// dropTime is how long an answer that nobody wants may take.
const dropTime = time.Minute

func (p *Port) drop(b []byte) error {
	if p.dropped += len(b); p.dropped > maxDrop {
		return ErrRubbish
	}
	return nil
}

// read reads an answer to its end.
func (p *Port) read(each func([]byte) error) error {
	p.r.alive = func() {
		end := time.Now().Add(p.Patience)
		if !p.until.IsZero() && end.After(p.until) {
			end = p.until
		}
		p.conn.SetReadDeadline(end)
	}
	err := p.r.answer(each)
	p.owed = err != nil && !refused(err)
	return err
}

func writeFrame(w io.Writer, kind byte, data []byte) error {
	_, err := w.Write(append(binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(data))), data...))
	return err
}

// Refuse ends an answer with an error of this side.
func Refuse(w io.Writer, why error) {
	writeFrame(w, frameHost, []byte(why.Error()))
}

// Session is a connection with the process that holds the VM, which passes on questions and the frames of answers.
type Session struct {
	conn io.ReadWriter
	r    *reader
	left int64
}

// NewSession makes a Session of a connection. All answers together have at most that many bytes.
func NewSession(c io.ReadWriter, most int64) *Session {
	s := &Session{conn: c, r: newReader(c), left: most}
	s.r.host = true
	return s
}

// Ask asks, and calls each with the parts of the answer.
func (s *Session) Ask(question string, each func(p []byte) error) error {
	if _, err := fmt.Fprintf(s.conn, "%s %s\n", Version, question); err != nil {
		return ErrEnded
	}
	return s.r.answer(func(p []byte) error {
		if s.left -= int64(len(p)); s.left < 0 {
			return ErrTooMuch
		}
		return each(p)
	})
}

// Text asks, and returns the answer: with an error, what came of it.
func (s *Session) Text(question string) (string, error) {
	var all []byte
	err := s.Ask(question, func(p []byte) error {
		all = append(all, p...)
		return nil
	})
	return string(all), err
}
