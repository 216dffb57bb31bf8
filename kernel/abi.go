package kernel

// This file has representations of linux/amd64 that several calls and files share: integers
// in memory, device numbers, times, results.

import (
	"strconv"
	"syscall"
)

// makedev, major and minor are those of makedev(3).
func makedev(major, minor uint64) uint64 {
	return major&0xfff<<8 | major&^0xfff<<32 | minor&0xff | minor&^0xff<<12
}

func major(dev uint64) uint32 { return uint32(dev>>8&0xfff | dev>>32&^0xfff) }

func minor(dev uint64) uint32 { return uint32(dev&0xff | dev>>12&^0xff) }

func put64(b []byte, v uint64) {
	_ = b[7]
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

func put32(b []byte, v uint32) {
	_ = b[3]
	for i := range 4 {
		b[i] = byte(v >> (8 * i))
	}
}

func get64(b []byte) (v uint64) {
	_ = b[7]
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

func nanos(ts syscall.Timespec) (int64, bool) {
	if ts.Sec < 0 || ts.Nsec < 0 || ts.Nsec >= 1e9 {
		return 0, false
	}
	if ts.Sec > 1<<33 { // 272 years: as good as forever, and no overflow
		return 1 << 62, true
	}
	return ts.Sec*1e9 + ts.Nsec, true
}

func timespec(ns int64) syscall.Timespec {
	s, r := ns/1e9, ns%1e9
	if r < 0 {
		s, r = s-1, r+1e9
	}
	return syscall.Timespec{Sec: s, Nsec: r}
}

func count(n int, e syscall.Errno) (uintptr, syscall.Errno) {
	if n < 0 {
		n = 0
	}
	return uintptr(n), e
}

// errnoUnless hides an error after bytes that were transferred before it.
func errnoUnless(done int64, e syscall.Errno) syscall.Errno {
	if done > 0 {
		return 0
	}
	return e
}

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }

// succeed is a handler for calls that have nothing to do.
func succeed(*Kernel, Args) (uintptr, syscall.Errno) { return 0, 0 }

// The handlers below only fail. They do not log a line, because programs probe for these
// calls and have an alternative.
func noSys(*Kernel, Args) (uintptr, syscall.Errno) { return 0, syscall.ENOSYS }

func noPerm(*Kernel, Args) (uintptr, syscall.Errno) { return 0, syscall.EPERM }

func noChild(*Kernel, Args) (uintptr, syscall.Errno) { return 0, syscall.ECHILD }
