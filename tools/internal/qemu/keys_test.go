package qemu

import (
	"bytes"
	"testing"
)

// What is typed is passed on, but for the way out, and that only while the program takes all keys; it makes no difference
// how the keys come in pieces.
func TestTyping(t *testing.T) {
	for _, tt := range []struct {
		all         bool
		typed, want string
		left        int
	}{
		{true, "a~.b", "a~.b", 0},
		{true, "~.", "", 1},
		{true, "x\r~.y", "x\ry", 1},
		{true, "x\n~.", "x\n", 1},
		{true, "\r~~.", "\r~.", 0},
		{true, "\r~~~.", "\r~~.", 0},
		{true, "\r~x\r~\r~.", "\r~x\r~\r", 1},
		{true, "\x1b[A\r\x1b[B~.", "\x1b[A\r\x1b[B~.", 0},
		{false, "\r~.", "\r~.", 0},
	} {
		for size := range len(tt.typed) {
			var got bytes.Buffer
			left := 0
			w := &typing{w: &got, all: func() bool { return tt.all }, leave: func() { left++ }}
			for p := []byte(tt.typed); len(p) > 0; {
				n, err := w.Write(p[:min(size+1, len(p))])
				if err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
			if got.String() != tt.want || left != tt.left {
				t.Errorf("%q by %d: passed on %q, left %d times; want %q, %d", tt.typed, size+1, got.String(), left, tt.want, tt.left)
			}
		}
	}
}
