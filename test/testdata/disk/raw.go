package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// info prints the properties of disks.
func info(names []string) {
	for _, name := range names {
		f, err := os.Open(name)
		check(err)
		st, err := f.Stat()
		check(err)
		sys := st.Sys().(*syscall.Stat_t)
		var size uint64
		var block, physical, readOnly uint32
		ioctl(f, 0x80081272, unsafe.Pointer(&size))
		ioctl(f, 0x1268, unsafe.Pointer(&block))
		ioctl(f, 0x127b, unsafe.Pointer(&physical))
		ioctl(f, 0x125e, unsafe.Pointer(&readOnly))
		end, err := f.Seek(0, io.SeekEnd)
		check(err)
		fmt.Println(name, st.Mode(), sys.Rdev&0xff, "size", size, end, "block", block, physical, "ro", readOnly)
		f.Close()
	}
}

func ioctl(f *os.File, req uintptr, arg unsafe.Pointer) {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), req, uintptr(arg)); e != 0 {
		wrong("ioctl %#x: %v", req, e)
	}
}

// fill makes each byte depend on its offset.
func fill(p []byte, off int64) {
	for i := range p {
		at := off + int64(i)
		p[i] = byte(at>>9) ^ byte(at) ^ byte(at>>20)*3
	}
}

// pattern checks the host's data on the disk, prints its sum, and writes the complement: in large and
// small pieces, from the heap, the stack and new memory.
func pattern(args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	check(err)
	size, err := f.Seek(0, io.SeekEnd)
	check(err)
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{io.NewSectionReader(f, 0, size)}, make([]byte, 300_000))
	check(err)
	fmt.Printf("read %d sum %x\n", n, sum.Sum(nil))
	want, got := make([]byte, 700_000), make([]byte, 700_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	at := int64(0)
	for at < size {
		n := min(1+rnd.Int64N(int64(len(want))), size-at)
		switch rnd.IntN(3) {
		case 0:
			n = min(n, 3000)
			stackWrite(f, at, int(n))
		case 1:
			p, err := syscall.Mmap(-1, 0, len(want), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			check(err)
			fill(p[:n], at)
			write(f, p[:n], at)
			clear(p)
			check(syscall.Munmap(p))
		default:
			fill(want[:n], at)
			write(f, want[:n], at)
		}
		at += n
	}
	for range 100 {
		at := rnd.Int64N(size)
		n := min(1+rnd.Int64N(int64(len(want))), size-at)
		fill(want[:n], at)
		if _, err := f.ReadAt(got[:n], at); err != nil || !bytes.Equal(got[:n], want[:n]) {
			wrong("read of %d bytes at %d: %v", n, at, err)
		}
	}
	if _, err := f.WriteAt([]byte{1}, size); !errors.Is(err, syscall.ENOSPC) {
		wrong("write at the end: %v", err)
	}
	if n, err := f.ReadAt(got, size-10); n != 10 || err != io.EOF {
		wrong("read at the end: %d, %v", n, err)
	}
	check(f.Sync())
	check(f.Close())
}

func write(f *os.File, p []byte, at int64) {
	if n, err := f.WriteAt(p, at); n != len(p) || err != nil {
		wrong("write of %d bytes at %d: %d, %v", len(p), at, n, err)
	}
}

// stackWrite writes from a buffer on the goroutine's stack, with the system call, which keeps it there.
//
//go:noinline
func stackWrite(f *os.File, at int64, n int) {
	var b [3000]byte
	fill(b[:n], at)
	if m, err := syscall.Pwrite(int(f.Fd()), b[:n], at); m != n || err != nil {
		wrong("write of %d bytes at %d from the stack: %d, %v", n, at, m, err)
	}
	clear(b[:])
	if m, err := syscall.Pread(int(f.Fd()), b[:n], at); m != n || err != nil {
		wrong("read of %d bytes at %d to the stack: %d, %v", n, at, m, err)
	}
	var want [3000]byte
	fill(want[:n], at)
	if want != b {
		wrong("the stack has other bytes than were written at %d", at)
	}
}

// stress lets many goroutines write and read regions of their own, while the collector runs.
func stress(args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	check(err)
	size, err := f.Seek(0, io.SeekEnd)
	check(err)
	const goroutines = 16
	region := size / goroutines &^ 511
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(g)))
			base := int64(g) * region
			mirror := make([]byte, region)
			write(f, mirror, base)
			for range 150 {
				at := rnd.Int64N(region)
				n := min(1+rnd.Int64N(100_000), region-at)
				p := make([]byte, n)
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				write(f, p, base+at)
				copy(mirror[at:], p)
				at = rnd.Int64N(region)
				q := make([]byte, min(1+rnd.Int64N(100_000), region-at))
				if _, err := f.ReadAt(q, base+at); err != nil || !bytes.Equal(q, mirror[at:][:len(q)]) {
					wrong("goroutine %d: read of %d bytes at %d: %v", g, len(q), at, err)
					return
				}
				if rnd.IntN(20) == 0 {
					check(f.Sync())
				}
			}
		})
	}
	wg.Wait()
}

// readOnly tries to write to a read-only disk. Linux opens it and refuses the write.
func readOnly(args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	check(err)
	if _, err := f.WriteAt(make([]byte, 512), 0); !errors.Is(err, syscall.EPERM) {
		wrong("write: %v", err)
	}
	b := make([]byte, 512)
	_, err = f.ReadAt(b, 0)
	check(err)
	fmt.Printf("first byte %#x\n", b[0])
}

// wait reads a block at each of the offsets, in MiB, and prints the results.
func wait(args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	check(err)
	for _, mib := range args[1:] {
		var at int64
		fmt.Sscan(mib, &at)
		_, err = f.ReadAt(make([]byte, 512), at<<20)
		fmt.Println("read:", err)
	}
	_, err = f.WriteAt(make([]byte, 512), 0)
	fmt.Println("write:", err)
	fmt.Println("sync:", f.Sync())
}
