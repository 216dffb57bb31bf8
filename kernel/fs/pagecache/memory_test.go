package pagecache

import (
	"bytes"
	"syscall"
	"testing"
)

// content makes a backing of n pages, each filled with its number and 1.
func content(n int) *fakeFile {
	b := newBacking()
	for i := range n {
		b.data = append(b.data, bytes.Repeat([]byte{byte(i + 1)}, PageSize)...)
		b.stored[int64(i)] = true
	}
	return b
}

// wantPages fails the test if a page is not as content made it; page skip is not checked.
func wantPages(t *testing.T, f *File, n, skip int) {
	t.Helper()
	for i := range n {
		p := make([]byte, PageSize)
		k, e := f.ReadAt(p, int64(i)*PageSize)
		if i != skip && (k != PageSize || e != 0 || !bytes.Equal(p, bytes.Repeat([]byte{byte(i + 1)}, PageSize))) {
			t.Errorf("page %d: %d bytes of %d, %v", i, k, p[0], e)
		}
	}
}

// A write for which there is no memory changes nothing.
func TestWriteWithoutMemory(t *testing.T) {
	b := content(3)
	m := newMachine(66) // two more than the reserve that is never taken
	f := New(m).NewFile(b, 3*PageSize)
	if _, e := f.WriteAt(make([]byte, PageSize), PageSize); e != 0 {
		t.Fatal("write of the page in the middle:", e)
	}
	if n, e := f.WriteAt(make([]byte, 3*PageSize), 0); n != 0 || e != syscall.ENOMEM {
		t.Fatalf("write of all: %d, %v; want ENOMEM", n, e)
	}
	more := newMachine(2)
	m.free, m.keep = append(m.free, more.free...), append(m.keep, more.keep...)
	wantPages(t, f, 3, 1)
}
