package control

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// deep makes a folder whose path is too long for a socket's.
func deep(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serving(t *testing.T, dir string, handle func(Request) (Reply, func(io.ReadWriter))) *Listener {
	t.Helper()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go l.Serve(handle)
	return l
}

func TestCall(t *testing.T) {
	dir := deep(t)
	serving(t, dir, func(q Request) (Reply, func(io.ReadWriter)) {
		if q.Op == Stop {
			return Reply{End: &vmdir.End{Status: int(q.Grace / time.Second)}}, nil
		}
		return Reply{Error: "no " + q.Op}, nil
	})
	r, err := Call(dir, Request{Op: Stop, Grace: 7 * time.Second}, 0)
	if err != nil || r.End == nil || r.End.Status != 7 {
		t.Errorf("Call = %+v, %v; want the end", r, err)
	}
	if _, err := Call(dir, Request{Op: "fly"}, 0); err == nil || err.Error() != "no fly" {
		t.Errorf("error %v; want that of the other side", err)
	}
}

func TestAttach(t *testing.T) {
	dir := t.TempDir()
	got := make(chan string, 1)
	serving(t, dir, func(Request) (Reply, func(io.ReadWriter)) {
		return Reply{}, func(r io.ReadWriter) { b, _ := io.ReadAll(r); got <- string(b) }
	})
	c, err := Open(dir, Request{Op: Attach})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reply(0); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "one\ntwo\n")
	c.Close()
	if s := <-got; s != "one\ntwo\n" {
		t.Errorf("input %q", s)
	}
}

// A socket without a process is one that has ended; a process that is stuck does not hold its client.
func TestNobody(t *testing.T) {
	dir := t.TempDir()
	if _, err := Call(dir, Request{Op: Wait}, 0); !errors.Is(err, ErrGone) {
		t.Errorf("no socket: %v; want ErrGone", err)
	}
	hang := make(chan struct{})
	l := serving(t, dir, func(Request) (Reply, func(io.ReadWriter)) { <-hang; return Reply{}, nil })
	if _, err := Call(dir, Request{Op: Wait}, 50*time.Millisecond); !errors.Is(err, ErrSilent) {
		t.Errorf("a process that hangs: %v; want ErrSilent", err)
	}
	close(hang)
	l.Close()
	if _, err := Call(dir, Request{Op: Wait}, 0); !errors.Is(err, ErrGone) {
		t.Errorf("after the end: %v; want ErrGone", err)
	}
	serving(t, dir, func(Request) (Reply, func(io.ReadWriter)) { return Reply{}, nil }) // in place of the old one
	if _, err := Call(dir, Request{Op: Wait}, 0); err != nil {
		t.Errorf("the next process: %v", err)
	}
}

// A reply that was under way when the VM ended arrives before the process ends.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	ended, asked := make(chan struct{}), make(chan struct{})
	l := serving(t, dir, func(Request) (Reply, func(io.ReadWriter)) {
		close(asked)
		<-ended
		time.Sleep(20 * time.Millisecond)
		return Reply{End: &vmdir.End{Status: 3}}, nil
	})
	result := make(chan Reply, 1)
	go func() { r, _ := Call(dir, Request{Op: Wait}, 0); result <- r }()
	<-asked
	close(ended)
	l.Close()
	l.Drain(5 * time.Second)
	select {
	case r := <-result:
		if r.End == nil || r.End.Status != 3 {
			t.Errorf("reply %+v", r)
		}
	case <-time.After(time.Second):
		t.Error("Drain returned before the reply was sent")
	}
}
