package main

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// refused tries what docs/files.md says that a folder of the host cannot do.
func refused(dir string, _ []string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.WriteFile(p("a"), []byte("aaa"), 0o644))
	check(os.WriteFile(p("b"), []byte("bbb"), 0o644))
	wantErr("RENAME_EXCHANGE", exchange(p("a"), p("b")), syscall.EINVAL)
	wantErr("mkfifo", syscall.Mkfifo(p("fifo"), 0o600), syscall.ENXIO)
	wantErr("mknod", syscall.Mknod(p("null"), syscall.S_IFCHR|0o600, 0x103), syscall.ENXIO)
	_, err := net.Listen("unix", p("socket"))
	wantErr("bind", err, syscall.ENXIO)

	f, err := os.OpenFile(p("a"), os.O_RDWR, 0)
	check(err)
	defer f.Close()
	wantErr("fallocate", syscall.Fallocate(int(f.Fd()), 0, 0, 4096), syscall.EOPNOTSUPP)
	check(os.Remove(p("a")))
	wantErr("chmod without a name", f.Chmod(0o600), syscall.ENOENT)
	wantErr("truncate without a name", f.Truncate(1), syscall.ENOENT)
	_, err = f.WriteAt([]byte("bb"), 0)
	check(err)
	var b [3]byte
	_, err = f.ReadAt(b[:], 0)
	check(err)
	want("content without a name", string(b[:]), "bba")
	check(os.Remove(p("b")))
}

func exchange(a, b string) error {
	const sysRenameat2, renameExchange = 316, 2
	from, err := syscall.BytePtrFromString(a)
	check(err)
	to, err := syscall.BytePtrFromString(b)
	check(err)
	// Absolute paths: the folders' descriptors do not count.
	if _, _, e := syscall.Syscall6(sysRenameat2, 0, uintptr(unsafe.Pointer(from)), 0, uintptr(unsafe.Pointer(to)), renameExchange, 0); e != 0 {
		return e
	}
	return nil
}
