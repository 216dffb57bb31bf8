package rand

import (
	"bytes"
	"testing"
)

func TestReadFills(t *testing.T) {
	p := make([]byte, 1000)
	if n, err := Read(p); n != len(p) || err != nil {
		t.Fatalf("Read = %d, %v; want %d, nil", n, err, len(p))
	}
	if bytes.Count(p, []byte{0}) > 100 {
		t.Error("most of the bytes are zero")
	}
}

func TestInt63n(t *testing.T) {
	g := RNGFrom(Reader)
	var seen [3]bool
	for range 200 {
		v := g.Int63n(3)
		if v < 0 || v >= 3 {
			t.Fatalf("Int63n(3) = %d", v)
		}
		seen[v] = true
	}
	if seen != [3]bool{true, true, true} {
		t.Errorf("200 numbers below 3: seen %v", seen)
	}
	// Numbers with all bits set are above the limit for 3 and are drawn again.
	g = RNGFrom(bytes.NewReader(append(bytes.Repeat([]byte{0xff}, 8), make([]byte, 8)...)))
	if v := g.Int63n(3 << 61); v != 0 {
		t.Errorf("Int63n took a number beyond its limit: %d", v)
	}
}
