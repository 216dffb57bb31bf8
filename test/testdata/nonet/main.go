// Command nonet makes sockets without package net.
package main

import (
	"fmt"
	"syscall"
)

func main() {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	fmt.Println("pair", err)
	syscall.Write(pair[0], []byte("hello"))
	b := make([]byte, 16)
	n, err := syscall.Read(pair[1], b)
	fmt.Printf("%q %v\n", b[:max(n, 0)], err)
	l, err := socket(syscall.AF_UNIX)
	fmt.Println("unix", err, syscall.Bind(l, &syscall.SockaddrUnix{Name: "/tmp/socket"}))
	for range 2 {
		_, err = socket(syscall.AF_INET)
		fmt.Println("inet", err)
	}
}

// socket makes a socket in a way that a linker cannot see.
func socket(family uintptr) (int, error) {
	fd, _, e := syscall.RawSyscall(syscall.SYS_SOCKET, family, syscall.SOCK_DGRAM, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}
