package fsprobe

import (
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// fake is a disk with the given first bytes.
type fake struct {
	block.Device
	data []byte
	fail syscall.Errno
}

func (f fake) Size() int64 { return int64(len(f.data)) }

func (f fake) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	for _, b := range bufs {
		off += int64(copy(b, f.data[off:]))
	}
	return f.fail
}

func TestProbe(t *testing.T) {
	for _, m := range marks {
		disk := make([]byte, 1<<20)
		copy(disk[m.at:], m.mark)
		if got, e := Probe(fake{data: disk}); got != m.name || e != 0 {
			t.Errorf("%q at %d: %q, %v; want %q", m.mark, m.at, got, e, m.name)
		}
	}
	// A FAT file system has a boot sector's magic number, too.
	disk := make([]byte, 1<<20)
	copy(disk[510:], "\x55\xaa")
	copy(disk[82:], "FAT32   ")
	for want, disk := range map[string][]byte{
		"FAT": disk, Empty: make([]byte, 1<<20), Unknown: append(make([]byte, 700), 1, 2, 3), "XFS": []byte("XFSB"),
	} {
		if got, e := Probe(fake{data: disk}); got != want || e != 0 {
			t.Errorf("%q, %v; want %q", got, e, want)
		}
	}
	if got, e := Probe(fake{}); got != Empty || e != 0 {
		t.Errorf("a disk without bytes: %q, %v", got, e)
	}
	if got, e := Probe(fake{data: make([]byte, 4096), fail: syscall.EIO}); got != "" || e != syscall.EIO {
		t.Errorf("a disk that fails: %q, %v; want EIO", got, e)
	}
}
