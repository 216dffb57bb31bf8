package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// A device that the wiring adds is in /dev, whether it is added before or after /dev is first
// used, and opening it calls its Open.
func TestAddDevice(t *testing.T) {
	s := newSystem(t)
	opened := 0
	add := func(name string, kind uint32, minor uint64) {
		s.k.AddDevice(DeviceNode{Name: name, Mode: kind | 0o660, Major: 254, Minor: minor,
			Open: func(n Inode, flags int) (File, syscall.Errno) {
				opened++
				return &device{k: s.k, kind: devZero, node: n}, 0
			}})
	}
	add("vda", syscall.S_IFBLK, 0)
	for _, name := range []string{"vda", "vdb"} {
		if name == "vdb" {
			add("vdb", syscall.S_IFBLK, 16)
		}
		fd := s.open("/dev/"+name, syscall.O_RDWR)
		st := new(syscall.Stat_t)
		if _, e := s.call(syscall.SYS_FSTAT, fd, unsafe.Pointer(st)); e != 0 || st.Mode != syscall.S_IFBLK|0o660 || st.Rdev>>8 != 254 {
			t.Errorf("fstat of %s = %v, mode %#o, device %#x", name, e, st.Mode, st.Rdev)
		}
	}
	add("net/one", syscall.S_IFCHR, 1)
	add("net/two", syscall.S_IFCHR, 2)
	for _, name := range []string{"one", "two"} {
		s.open("/dev/net/"+name, syscall.O_RDWR)
	}
	st := new(syscall.Stat_t)
	if _, e := s.call(syscall.SYS_STAT, "/dev/net", unsafe.Pointer(st)); e != 0 || st.Mode != syscall.S_IFDIR|0o755 || st.Nlink != 2 {
		t.Errorf("the folder: %v, mode %#o, %d links", e, st.Mode, st.Nlink)
	}
	if opened != 4 {
		t.Errorf("opened %d times; want 4", opened)
	}
	if _, e := s.call(syscall.SYS_MKNOD, "/tmp/other", int(syscall.S_IFCHR|0o600), int(makedev(254, 0))); e != 0 {
		t.Fatal(e)
	}
	if _, e := s.call(syscall.SYS_OPEN, "/tmp/other", syscall.O_RDWR, 0); e != syscall.ENXIO {
		t.Errorf("open of a character device with the number of a disk = %v; want ENXIO", e)
	}
}
