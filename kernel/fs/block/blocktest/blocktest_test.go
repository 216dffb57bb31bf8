package blocktest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func put(t *testing.T, d block.Device, off int64, bufs ...[]byte) {
	t.Helper()
	if e := d.WriteAt(bufs, off); e != 0 {
		t.Fatalf("WriteAt(%d) = %v", off, e)
	}
}

func want(t *testing.T, d block.Device, off int64, p []byte) {
	t.Helper()
	q := make([]byte, len(p))
	if e := d.ReadAt([][]byte{q[:512], q[512:]}, off); e != 0 || !bytes.Equal(p, q) {
		t.Errorf("ReadAt(%d) = %x..., %v; want %x...", off, q[:4], e, p[:4])
	}
}

func TestDevices(t *testing.T) {
	host, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	const size = 1 << 20
	host.Truncate(size)
	for name, d := range map[string]block.Device{
		"memory": NewMemory(size, 512), "clone": NewMemory(size, 512).Clone(), "file": NewFile(host, size, 512, false),
		"recorder": NewRecorder(NewMemory(size, 512)), "faulty": NewFaulty(NewMemory(size, 512)),
	} {
		t.Run(name, func(t *testing.T) {
			put(t, d, 65536-512, fill(1, 512), fill(2, 1024))
			want(t, d, 65536-1024, append(append(fill(0, 512), fill(1, 512)...), fill(2, 1024)...))
			if e := d.WriteZeroes(65536, 131072); e != 0 {
				t.Error(e)
			}
			want(t, d, 65536-512, append(fill(1, 512), fill(0, 1024)...))
			for _, bad := range []struct{ off, n int64 }{{1, 512}, {0, 513}, {-512, 512}, {size, 512}, {size - 512, 1024}} {
				if e := d.WriteAt([][]byte{make([]byte, bad.n)}, bad.off); e != syscall.EINVAL {
					t.Errorf("WriteAt(%d bytes, %d) = %v; want EINVAL", bad.n, bad.off, e)
				}
			}
			if e := d.Flush(); e != 0 {
				t.Error(e)
			}
		})
	}
}

// A power cut keeps writes that a completed flush covers, and any part of the others.
func TestCrash(t *testing.T) {
	rec := NewRecorder(NewMemory(1<<20, 512))
	put(t, rec, 0, fill(1, 1024))
	rec.Flush()
	rec.Mark("flushed")
	put(t, rec, 0, fill(2, 1024))
	put(t, rec, 4096, fill(3, 4096))
	c := rec.Crash()
	r := rand.New(rand.NewPCG(1, 2))
	c.To(3) // the flush has begun, not ended
	want(t, c.Disk(All, r), 0, fill(0, 1024))
	c.To(4)
	want(t, c.Disk(All, r), 0, fill(1, 1024))
	if len(c.Marks()) != 0 {
		t.Error("a mark too early")
	}
	c.To(rec.Len())
	if len(c.Marks()) != 1 || c.Volatile() != 2 {
		t.Errorf("marks %v, volatile %d", c.Marks(), c.Volatile())
	}
	want(t, c.Disk(All, r), 0, fill(1, 1024))
	want(t, c.Disk(Nothing, r), 0, fill(2, 1024))
	seen := map[string]bool{}
	tries := 20000
	if testing.Short() {
		tries = 2000
	}
	for range tries {
		m := c.Disk(Torn, r)
		p := make([]byte, 512)
		key := ""
		for _, off := range []int64{0, 512, 4096, 4608, 7680} {
			m.ReadAt([][]byte{p}, off)
			key += string('0' + p[0])
		}
		seen[key] = true
	}
	if len(seen) < tries/20000*32 || len(seen) < 24 {
		t.Errorf("%d of 32 states were seen", len(seen))
	}
}

func TestFaulty(t *testing.T) {
	f := NewFaulty(NewMemory(1<<20, 512))
	f.SetRule(FailAfter(Write, 1, 2, syscall.EIO))
	for i, want := range []syscall.Errno{0, syscall.EIO, syscall.EIO, 0} {
		if e := f.WriteAt([][]byte{fill(1, 512)}, 0); e != want {
			t.Errorf("write %d = %v; want %v", i, e, want)
		}
	}
	f.SetRule(FailRange(Read, 1024, 512, syscall.EIO))
	if e := f.ReadAt([][]byte{fill(0, 1024)}, 512); e != syscall.EIO {
		t.Errorf("read of the range = %v", e)
	}
	if e := f.ReadAt([][]byte{fill(0, 1024)}, 0); e != 0 {
		t.Errorf("read beside the range = %v", e)
	}
	release := f.Hang()
	done := make(chan bool)
	go func() { f.Flush(); close(done) }()
	select {
	case <-done:
		t.Error("the flush does not hang")
	case <-time.After(10 * time.Millisecond):
	}
	release()
	<-done
}
