package netstack

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"
)

// movingStack makes a Stack for which the given buffers lie on a stack. It checks that they are
// only accessed by their owner's goroutine, in place.
func movingStack(bufs ...[]byte) *Stack {
	return &Stack{cfg: Config{OnStack: func(p []byte) bool {
		return slices.ContainsFunc(bufs, func(b []byte) bool { return unsafe.SliceData(b) == unsafe.SliceData(p) })
	}}}
}

func TestSourceBouncesStackMemory(t *testing.T) {
	stack, heap := []byte("on the stack, "), []byte("on the heap")
	s := movingStack(stack)
	src := s.newSource(stack, [][]byte{heap, nil, stack}, 1000)
	if src.Len() != 2*len(stack)+len(heap) {
		t.Fatalf("Len = %d", src.Len())
	}
	want := string(stack) + string(heap) + string(stack)
	stack[0] = 'X' // the stack has moved, and other data is there now
	var got []byte
	buf := make([]byte, 5)
	for src.Len() > 0 {
		n, err := src.Read(buf)
		if err != nil || n == 0 {
			t.Fatalf("Read = %d, %v", n, err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != want {
		t.Errorf("got %q; want %q", got, want)
	}
	src.release()
}

func TestSourceLimits(t *testing.T) {
	big := make([]byte, 3*maxBounce)
	s := movingStack(big)
	if src := s.newSource(big, [][]byte{{1}}, 10*maxBounce); src.Len() != maxBounce {
		t.Errorf("a stack buffer of %d bytes gives %d; want %d and nothing after it", len(big), src.Len(), maxBounce)
	}
	if src := movingStack().newSource(big, nil, 100); src.Len() != 100 {
		t.Errorf("limit 100 gives %d", src.Len())
	}
}

func TestSinkBouncesStackMemory(t *testing.T) {
	stack, heap := make([]byte, 4), make([]byte, 4)
	s := movingStack(stack)
	k := s.newSink(stack, [][]byte{heap}, false)
	if n, err := k.Write([]byte("abcdef")); n != 6 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if !bytes.Equal(stack, make([]byte, 4)) {
		t.Error("stack memory was written before finish")
	}
	if n, err := k.Write([]byte("ghi")); n != 2 || err == nil {
		t.Fatalf("Write beyond the room = %d, %v; want 2 and an error", n, err)
	}
	if n := k.finish(stack, [][]byte{heap}); n != 8 || string(stack) != "abcd" || string(heap) != "efgh" {
		t.Errorf("finish = %d, %q, %q", n, stack, heap)
	}
	k = s.newSink(stack, nil, true)
	if n, err := k.Write([]byte("datagram")); n != 8 || err != nil {
		t.Errorf("a datagram too long: Write = %d, %v; want it all taken", n, err)
	}
	if n := k.finish(stack, nil); n != 4 || string(stack) != "data" {
		t.Errorf("finish = %d, %q", n, stack)
	}
	big := make([]byte, maxBounce+1)
	k = movingStack(big).newSink(big, [][]byte{heap}, false)
	if n, _ := k.Write(make([]byte, maxBounce+3)); n != maxBounce {
		t.Errorf("beyond scratch memory: %d; want %d, so that no byte lands out of order", n, maxBounce)
	}
	k.finish(big, [][]byte{heap})
}

// nearStackBelow calls nearStack n frames deeper.
//
//go:noinline
func nearStackBelow(p []byte, n int) bool {
	if n > 0 {
		return nearStackBelow(p, n-1)
	}
	return nearStack(p)
}

var notOnAnyStack [64]byte

// A buffer in any caller's frame is near, even if the stack has grown by megabytes since; the
// image's data is not.
func TestNearStack(t *testing.T) {
	var b [64]byte
	for _, depth := range []int{0, 1, 100_000} {
		if !nearStackBelow(b[:], depth) {
			t.Errorf("a buffer %d frames up is not near: it would be used after the stack has moved", depth)
		}
	}
	if nearStack(notOnAnyStack[:]) {
		t.Error("the image's data is near: it would be copied for nothing")
	}
}
