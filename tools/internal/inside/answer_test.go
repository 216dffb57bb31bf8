package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func frame(kind byte, data string) string {
	return string(binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(data)))) + data
}

// A guest answers each line with the next of its answers.
func guest(t *testing.T, answers ...string) *Port {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		b := make([]byte, 1)
		for _, a := range answers {
			for b[0] = 0; b[0] != '\n'; {
				if _, err := theirs.Read(b); err != nil {
					return
				}
			}
			io.WriteString(theirs, a)
		}
		io.Copy(io.Discard, theirs)
	}()
	p := NewPort(ours)
	p.Patience = 300 * time.Millisecond
	return p
}

// session passes the questions of a Session to a port, as the process that holds the VM does.
func session(t *testing.T, p *Port, most int64) *Session {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		var line []byte
		b := make([]byte, 1)
		for {
			if _, err := theirs.Read(b); err != nil {
				return
			}
			if line = append(line, b[0]); b[0] == '\n' {
				if err := p.Ask(string(line[:len(line)-1]), theirs); err != nil {
					Refuse(theirs, err)
				}
				line = nil
			}
		}
	}()
	return NewSession(ours, most)
}

func TestAsk(t *testing.T) {
	ok := frame('d', "") + frame('d', "one ") + frame('d', "two") + frame('e', "")
	for name, tt := range map[string]struct {
		answer, text string
		err          error
	}{
		"answer":                   {ok, "one two", nil},
		"refusal":                  {frame('d', "part") + frame('x', "no\x1b[2J"), "part", Refusal("no\x1b[2J")},
		"another kind":             {frame('q', ""), "", ErrRubbish},
		"end with data":            {frame('e', "x"), "", ErrRubbish},
		"the host's":               {frame('h', "lie"), "", ErrRubbish},
		"long refusal":             {frame('x', strings.Repeat("a", 1<<20)), "", Refusal(strings.Repeat("a", maxWhy))},
		"nothing, again and again": {strings.Repeat(frame('d', ""), 20), "", ErrRubbish},
		"silence":                  {frame('d', "") + frame('d', "abcdef")[:8], "abc", ErrSilent},
		"too much":                 {frame('d', strings.Repeat("a", 5000)) + frame('e', ""), "", ErrTooMuch},
	} {
		t.Run(name, func(t *testing.T) {
			s := session(t, guest(t, tt.answer), 4096)
			text, err := s.Text("stacks")
			if err == nil != (tt.err == nil) || err != nil && err.Error() != tt.err.Error() || name != "too much" && text != tt.text {
				t.Errorf("%q, %v; want %q, %v", text, err, tt.text, tt.err)
			}
		})
	}
	if s := Refusal("no\x1b[2J").Error(); strings.Contains(s, "\x1b") {
		t.Errorf("%q would be obeyed by a terminal", s)
	}
}

// An answer that nobody has waited for is not taken for that of the next question; one without an end is given up.
func TestLateAnswer(t *testing.T) {
	p := guest(t, "", frame('d', "late")+frame('x', "late")+frame('d', "own")+frame('e', ""))
	if err := p.Ask("1 first", io.Discard); err != ErrSilent {
		t.Fatalf("a guest that says nothing: %v", err)
	}
	p.conn.SetWriteDeadline(time.Time{})
	go p.conn.Write([]byte("\n")) // so that the guest says what it owes with the next
	time.Sleep(50 * time.Millisecond)
	var got bytes.Buffer
	if err := p.Ask("1 second", &got); err != nil || got.String() != frame('d', "own")+frame('e', "") {
		t.Errorf("the next question: %q, %v", got.String(), err)
	}
}

// A client that goes away does not hold the port; a guest that goes on for ever is given up.
func TestNobodyReads(t *testing.T) {
	p := guest(t, frame('d', "for nobody")+frame('e', ""), frame('d', "next")+frame('e', ""))
	gone := errors.New("gone")
	if err := p.Ask("1 a", failing{gone}); err != gone {
		t.Errorf("the client has gone: %v", err)
	}
	var got bytes.Buffer
	if err := p.Ask("1 b", &got); err != nil || !strings.Contains(got.String(), "next") {
		t.Errorf("the next client: %q, %v", got.String(), err)
	}
	endless := NewPort(&endless{})
	if err := endless.Ask("1 a", failing{gone}); err != ErrRubbish {
		t.Errorf("an answer without an end: %v", err)
	}
	if err := endless.Ask("1 b", io.Discard); err != ErrRubbish {
		t.Errorf("after that: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// endless is a guest whose answer is one frame after the other.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) {
	n := 0
	for f := frame('d', strings.Repeat("a", 4091)); n+len(f) <= len(p); {
		n += copy(p[n:], f)
	}
	return n, nil
}
func (endless) Write(p []byte) (int, error)      { return len(p), nil }
func (endless) SetReadDeadline(time.Time) error  { return nil }
func (endless) SetWriteDeadline(time.Time) error { return nil }

// script is a guest that sends these bytes, whatever it is asked.
type script struct{ io.Reader }

func (script) Write(p []byte) (int, error)      { return len(p), nil }
func (script) SetReadDeadline(time.Time) error  { return nil }
func (script) SetWriteDeadline(time.Time) error { return nil }

// Whatever a guest sends, the host's ends of the port keep their bounds.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(frame('d', "") + frame('d', "text") + frame('e', "") + frame('x', "no")))
	f.Add([]byte("d\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		var frames bytes.Buffer
		p := NewPort(script{bytes.NewReader(sent)})
		for p.Ask("1 x", &frames) == nil {
		}
		s := NewSession(script{bytes.NewReader(frames.Bytes())}, 100)
		for {
			text, err := s.Text("x")
			if len(text) > 100 {
				t.Fatalf("%d bytes", len(text))
			}
			if r := Refusal(""); err != nil && !errors.As(err, &r) {
				break
			}
		}
	})
}
