package ext4fs

import (
	"bytes"
	"fmt"
	"sync"
	"syscall"
	"testing"
)

// fallocate(2) never truncates a file: it keeps what is appended concurrently.
func TestAllocateBesideAppends(t *testing.T) {
	m := mount(t, mkfs(t, "128M"), 8000)
	for i := range 10 {
		if lost := appendAndAllocate(t, m.create(fmt.Sprint(i))); lost > 0 {
			t.Fatalf("%d records are lost", lost)
		}
	}
}

func appendAndAllocate(t *testing.T, f *file) (lost int) {
	var mu sync.Mutex
	var ends []int64
	var wg sync.WaitGroup
	record := bytes.Repeat([]byte("x"), 4096) // whole pages: the device reads them meanwhile
	for range 3 {
		wg.Go(func() {
			for range 300 {
				_, end, e := f.Append(record)
				if e != 0 {
					t.Error("append:", e)
					return
				}
				mu.Lock()
				ends = append(ends, end)
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for i := range int64(300) {
			if e := f.Allocate(0, f.f.Size(), 4096+i%4*4096); e != 0 {
				t.Error("allocate:", e)
				return
			}
		}
	})
	wg.Wait()
	for _, end := range ends {
		p := make([]byte, len(record))
		if n, e := f.Read(p, end-int64(len(p))); n != len(p) || e != 0 || !bytes.Equal(p, record) {
			lost++
		}
	}
	return lost
}

// Zeroing a range changes nothing if there is no space for it.
func TestZeroWithoutSpace(t *testing.T) {
	d := mkfs(t, "16M")
	m := mount(t, d, 4000)
	f := m.create("file")
	want := bytes.Repeat([]byte("x"), 100000)
	f.Write(want, 0)
	m.check("sync", f.Sync(false))
	f.Write(want[:5000], 20000)
	if e := f.Allocate(fallocZeroRange, 0, 1<<30); e != syscall.ENOSPC {
		t.Fatalf("zeroes on a full disk: %v; want ENOSPC", e)
	}
	if got := m.read("file"); !bytes.Equal(got, want) {
		t.Error("the file has changed")
	}
	m.check("unmount", m.fs.Unmount())
	if got := mount(t, d, 4000).read("file"); !bytes.Equal(got, want) {
		t.Error("the file on the disk has changed")
	}
}
