// Command ownsockets has internet sockets without package net.
package main

import (
	"fmt"
	"syscall"
)

func main() {
	l, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	fmt.Println("socket", err)
	fmt.Println("bind", syscall.Bind(l, &syscall.SockaddrInet6{Port: 7000}), syscall.Listen(l, 1))
	c, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	fmt.Println("connect", err, syscall.Connect(c, &syscall.SockaddrInet4{Port: 7000, Addr: [4]byte{127, 0, 0, 1}}))
	a, _, err := syscall.Accept(l)
	fmt.Println("accept", err)
	syscall.Write(c, []byte("hello"))
	b := make([]byte, 16)
	n, err := syscall.Read(a, b)
	fmt.Printf("%q %v\n", b[:max(n, 0)], err)
	b, err = syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_INET)
	fmt.Println("addresses", len(b) > 0, err)
}
