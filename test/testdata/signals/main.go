// Signals repeatedly sends SIGURG to every thread, also to those that wait in the system, while timers
// and a socket keep the poller busy.
package main

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	rounds  = 3000
	threads = 24 // IDs from 1 on; ESRCH for those that do not exist
)

func main() {
	for range 4 {
		go sleeps()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go connects(l.Addr().String())
	go accepts(l)
	sent := 0
	for range rounds {
		for tid := range threads {
			_, _, e := syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(tid+1), uintptr(syscall.SIGURG))
			if e == 0 {
				sent++
			}
		}
		time.Sleep(100 * time.Microsecond)
	}
	if sent < rounds {
		fmt.Println("only", sent, "signals were sent")
		os.Exit(1)
	}
	fmt.Println("fine")
}

func sleeps() {
	for {
		time.Sleep(70 * time.Microsecond)
	}
}

func accepts(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func connects(addr string) {
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Read(make([]byte, 1))
			c.Close()
		}
	}
}
