// Command resume tells what its generators give, and the time, for each line of its input: what
// the tests compare between machines that go on from one saved state.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"time"
)

func main() {
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

// ask sends a SYN and a DNS query; what they carry is what the test looks at.
func ask() {
	d := net.Dialer{Timeout: time.Second}
	if c, err := d.Dial("tcp4", "10.9.0.1:80"); err == nil {
		c.Close()
	}
	net.LookupHost("peer.example")
}
