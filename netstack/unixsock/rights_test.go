package unixsock

import (
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

// file returns a description with enough references for a test: the last one is never dropped.
func file() *kernel.Description {
	d := new(kernel.Description)
	for range 100 {
		d.IncRef()
	}
	return d
}

func sendRights(t *testing.T, s kernel.Socket, text string, rights ...*kernel.Description) {
	t.Helper()
	m := message1([]byte(text))
	m.Rights = rights
	if n, e := s.Send(m, 0); n != len(text) || e != 0 {
		t.Fatalf("Send = %d, %v", n, e)
	}
	if m.Rights != nil {
		t.Error("Send left the rights to the caller, who would drop them")
	}
}

func receiveRights(t *testing.T, s kernel.Socket, flags int) (string, []*kernel.Description) {
	t.Helper()
	b := make([]byte, 100)
	m := message1(b)
	n, e := s.Receive(m, flags)
	if e != 0 {
		t.Fatal(e)
	}
	return string(b[:n]), m.Rights
}

func TestRights(t *testing.T) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			a, b := mustPair(t, typ)
			x, y := file(), file()
			sendRights(t, a, "two", x, y)
			for _, flags := range []int{syscall.MSG_PEEK, 0} {
				text, r := receiveRights(t, b, flags)
				if text != "two" || len(r) != 2 || r[0] != x || r[1] != y {
					t.Errorf("flags %#x: received %q with %v; want two files", flags, text, r)
				}
			}
			sendRights(t, a, "unread", x)
			b.Release() // drops them
		})
	}
}

// A read of a stream ends after the bytes that descriptors came with:
// unix(7), SCM_RIGHTS.
func TestRightsEndARead(t *testing.T) {
	a, b := mustPair(t, stream)
	x, y := file(), file()
	sendRights(t, a, "plain ")
	sendRights(t, a, "first ", x)
	sendRights(t, a, "second ", y)
	sendRights(t, a, "tail")
	for _, want := range []struct {
		text string
		file *kernel.Description
	}{{"plain first ", x}, {"second ", y}, {"tail", nil}} {
		text, r := receiveRights(t, b, 0)
		if text != want.text || (want.file == nil) != (r == nil) || r != nil && r[0] != want.file {
			t.Errorf("received %q with %v; want %q with %v", text, r, want.text, want.file)
		}
	}
}

// A send that fails leaves the references to the caller.
func TestRightsOfFailedSend(t *testing.T) {
	a, b := mustPair(t, stream)
	b.Release()
	m := message1([]byte("x"))
	m.Rights = []*kernel.Description{file()}
	if _, e := a.Send(m, 0); e != syscall.EPIPE || len(m.Rights) != 1 {
		t.Errorf("Send = %v with %d rights left; want EPIPE with 1", e, len(m.Rights))
	}
}
