package pagecache

import (
	"syscall"
	"testing"
)

// A file that was discarded takes no writes any more, and no page of it reaches the file
// below, which may have been freed.
func TestDiscardedFile(t *testing.T) {
	m := newMappingMachine(600)
	b := newBacking()
	f := New(m).NewFile(b, 0)
	f.WriteAt(make([]byte, 100000), 0)
	if _, e := f.Map(0, 40*PageSize, 0, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); e != 0 {
		t.Fatal("map:", e)
	}
	f.Discard()
	lower := func() syscall.Errno { t.Error("the file below was changed"); return 0 }
	_, write := f.WriteAt(make([]byte, 10), 5)
	_, _, add := f.Append(make([]byte, 10))
	for what, e := range map[string]syscall.Errno{
		"write": write, "append": add,
		"truncate": f.Truncate(50000, lower), "cut": f.Truncate(0, lower),
		"punch": f.Punch(0, 8192, func(int64, int64) syscall.Errno { return lower() }),
	} {
		if e != syscall.ESTALE {
			t.Errorf("%s: %v; want ESTALE", what, e)
		}
	}
	if !m.store(f, "x", 100) { // as a thread that still runs does
		t.Error("a mapping cannot be stored to")
	}
	f.SyncAll()
	f.Unmap()
	if b.writes > 0 || len(b.reserved) > 0 {
		t.Errorf("%d writes, %d pages reserved", b.writes, len(b.reserved))
	}
	if total, free := m.Memory(); free != total {
		t.Errorf("%d pages are not free", (total-free)/PageSize)
	}
}
