package ext4fs

import (
	"bytes"
	"sync"
	"syscall"
	"testing"
)

// A lookup of a name during a rename to it finds the old file or the new one, with all its
// data.
func TestLookupBesideRename(t *testing.T) {
	m := mount(t, mkfs(t, "64M"), 4000)
	root := m.fs.Root()
	const size = 5000
	replace := func(b byte) {
		f := m.create("new")
		f.Write(bytes.Repeat([]byte{b}, size), 0)
		f.Release()
		m.check("rename", root.Rename("new", root, "f", false))
	}
	replace(1)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			p := make([]byte, size+1)
			for {
				select {
				case <-stop:
					return
				default:
				}
				i, e := root.Lookup("f")
				if e != 0 {
					t.Error("lookup:", e)
					return
				}
				f, e := i.Open(syscall.O_RDONLY)
				if e == syscall.ESTALE { // the caller looks it up again
					continue
				}
				n, e := f.Read(p, 0)
				if e != 0 || !bytes.Equal(p[:n], bytes.Repeat(p[:1], size)) {
					t.Errorf("%d of %d bytes, %v", n, size, e)
					return
				}
				f.Release()
			}
		})
	}
	for i := range 1000 {
		replace(byte(i))
	}
	close(stop)
	readers.Wait()
}
