package pagecache

import (
	"bytes"
	"syscall"
	"testing"
)

// If the file below refuses a truncation or a hole, the range is still there, written back
// or not. During the call, mappings do not show it.
func TestRefusedTruncate(t *testing.T) {
	for what, change := range map[string]func(f *File, lower func() syscall.Errno) syscall.Errno{
		"truncate": func(f *File, lower func() syscall.Errno) syscall.Errno { return f.Truncate(100, lower) },
		"punch": func(f *File, lower func() syscall.Errno) syscall.Errno {
			return f.Punch(PageSize, 4*PageSize, func(int64, int64) syscall.Errno { return lower() })
		},
		"grow": func(f *File, lower func() syscall.Errno) syscall.Errno {
			return f.Truncate(100*PageSize, func() syscall.Errno { return syscall.EIO })
		},
	} {
		m := newMappingMachine(600)
		b := content(5)
		f := New(m).NewFile(b, 5*PageSize)
		f.WriteAt([]byte("dirty"), 2*PageSize)
		if _, e := f.Map(0, 5*PageSize, 0, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); e != 0 {
			t.Fatal("map:", e)
		}
		m.store(f, "stored", 3*PageSize)
		e := change(f, func() syscall.Errno {
			for i := range m.files[f.mapped].page {
				if i == 1 || i == 2 || i == 3 {
					t.Errorf("%s: page %d is mapped while it is freed", what, i)
				}
			}
			m.store(f, "lost", PageSize)
			return syscall.EIO
		})
		if e != syscall.EIO || f.Size() != 5*PageSize {
			t.Errorf("%s: %v, size %d; want EIO, %d", what, e, f.Size(), 5*PageSize)
		}
		if !m.store(f, "again", 4*PageSize) {
			t.Errorf("%s: the mapping is cut off", what)
		}
		f.Unmap()
		f.SyncAll()
		for off, want := range map[int64]string{
			0: "\x01", PageSize: "\x02", 2 * PageSize: "dirty", 3 * PageSize: "stored", 4 * PageSize: "again", 5*PageSize - 1: "\x05",
		} {
			p := make([]byte, len(want))
			if f.ReadAt(p, off); string(p) != want || string(b.data[off:][:len(want)]) != want {
				t.Errorf("%s: at %d %q is read and %q stored; want %q", what, off, p, b.data[off:][:len(want)], want)
			}
		}
		f.Release()
		if total, free := m.Memory(); total != free {
			t.Errorf("%s: %d pages are lost", what, (total-free)/PageSize)
		}
	}
}

// Data that a mapping stores after the end, in the last page, which is a hole, does not
// appear when the file grows.
func TestStoreBehindEnd(t *testing.T) {
	for what, grow := range map[string]func(f *File) syscall.Errno{
		"truncate": func(f *File) syscall.Errno {
			return f.Truncate(3*PageSize, func() syscall.Errno { return 0 })
		},
		"write": func(f *File) syscall.Errno { _, e := f.WriteAt([]byte("end"), 3*PageSize-3); return e },
	} {
		m := newMappingMachine(600)
		f := New(m).NewFile(newBacking(), 1000)
		if _, e := f.Map(0, PageSize, 0, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); e != 0 {
			t.Fatal("map:", e)
		}
		m.store(f, "kept", 996)
		m.store(f, "behind", 1000)
		if e := grow(f); e != 0 {
			t.Fatal(what, e)
		}
		p := make([]byte, 10)
		if f.ReadAt(p, 996); string(p) != "kept\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s: %q", what, p)
		}
	}
}

// A mapping of a file that the machine reads shows what is left of it after a truncation,
// or all of it if that fails.
func TestTruncatePlaced(t *testing.T) {
	for _, loaded := range []bool{false, true} {
		for _, fail := range []syscall.Errno{0, syscall.EIO} {
			m := newMappingMachine(600)
			b := content(5)
			f := New(m).NewFile(placed{b}, 5*PageSize)
			if _, e := f.Map(0, 5*PageSize, 0, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); e != 0 {
				t.Fatal("map:", e)
			}
			const cut = 2*PageSize + 100
			if loaded {
				m.fault(f, cut)
				m.fault(f, cut+PageSize)
			}
			f.Truncate(cut, func() syscall.Errno {
				if fail == 0 {
					b.data = append(b.data[:cut:cut], make([]byte, PageSize-100)...)
				}
				return fail
			})
			last, rest := []byte{3}, make([]byte, PageSize-100)
			if fail != 0 {
				rest = bytes.Repeat(last, PageSize-100)
			}
			if p := m.fault(f, cut); !bytes.Equal(p[:100], bytes.Repeat(last, 100)) || !bytes.Equal(p[100:], rest) {
				t.Errorf("loaded %v, %v: the last page begins with %d and ends with %d", loaded, fail, p[0], p[PageSize-1])
			}
			if p := m.fault(f, 4*PageSize); fail == 0 && p != nil || fail != 0 && (p == nil || p[0] != 5) {
				t.Errorf("loaded %v, %v: behind the end %d bytes are shown", loaded, fail, len(p))
			}
			f.Truncate(5*PageSize, func() syscall.Errno { return 0 })
			if p := m.fault(f, cut); !bytes.Equal(p[100:], rest) {
				t.Errorf("loaded %v, %v: what was cut off is back", loaded, fail)
			}
		}
	}
}
