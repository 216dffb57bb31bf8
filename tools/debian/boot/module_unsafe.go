package boot

import (
	"os"
	"syscall"
	"unsafe"
)

// load loads a kernel module (finit_module(2)).
func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const finitModule = 313
	var noParameters [1]byte
	if _, _, e := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(&noParameters)), 0); e != 0 {
		return e
	}
	return nil
}
