// Command resume tells what its generators give, and the time, for each line of its input: what
// the tests compare between machines that go on from one saved state. With the argument sources
// it tells instead whether there are random numbers.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	machine "github.com/yolk-unikernel/yolk/runtime"
)

func main() {
	if len(os.Args) > 1 {
		sources()
		return
	}
	machine.OnResume(func() { fmt.Println("resumed") })
	tell() // so that each generator has begun
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "net" {
			ask()
		}
		tell()
	}
}

// tell draws from the generators, all in one line.
func tell() {
	var key [16]byte
	rand.Read(key[:])
	fmt.Printf("math %016x crypto %x wall %d\n", mathrand.Uint64(), key, time.Now().UnixMilli())
}

// ask sends a SYN and a DNS query; what they carry is what the test looks at. Nobody answers.
func ask() {
	go net.Dial("tcp4", "10.9.0.1:80")
	go net.LookupHost("peer.example")
}

// sources waits for a key, for a second at most, and then asks without waiting.
func sources() {
	key := make(chan bool)
	go func() {
		rand.Read(make([]byte, 32))
		key <- true
	}()
	select {
	case <-key:
		fmt.Println("key: yes")
	case <-time.After(3 * time.Second):
		fmt.Println("key: waits")
	}
	const nonblock, insecure = 1, 4
	fmt.Println("nonblock:", getrandom(nonblock))
	fmt.Println("insecure:", getrandom(insecure))
	f, err := os.Open("/dev/urandom")
	n := 0
	if err == nil {
		n, err = f.Read(make([]byte, 16))
	}
	fmt.Println("urandom:", n, err)
}

func getrandom(flags uintptr) string {
	const sysGetrandom = 318
	var b [16]byte
	n, _, e := syscall.Syscall(sysGetrandom, uintptr(unsafe.Pointer(&b)), 16, flags)
	if e == syscall.EAGAIN {
		return "EAGAIN"
	}
	if e != 0 || n != 16 || b == [16]byte{} {
		return fmt.Sprint("wrong: ", n, e, b)
	}
	return "yes"
}
