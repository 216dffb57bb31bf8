// Command guest serves what test/attack attacks, and says over HTTP how much memory it has used at
// most.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// peak is the largest amount of memory in use since the last request for it, in KiB.
var peak atomic.Int64

func main() {
	go watch()
	datagrams, err := net.ListenPacket("udp", ":53")
	if err != nil {
		log.Fatal(err)
	}
	go slowly(datagrams)
	listen(81, hold)
	listen(82, pour)
	listen(83, answer)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	http.HandleFunc("/peak", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, peak.Swap(used()), used())
	})
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving")
	log.Fatal(http.Serve(l, nil))
}

// watch notes the peak.
func watch() {
	for {
		now := used()
		for old := peak.Load(); now > old && !peak.CompareAndSwap(old, now); old = peak.Load() {
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// used returns how many KiB of the memory are in use.
func used() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	var total, free int64
	if _, err := fmt.Fscanf(f, "MemTotal: %d kB\nMemFree: %d kB\n", &total, &free); err != nil {
		log.Fatal(err)
	}
	return total - free
}

func listen(port int, serve func(net.Conn)) {
	l, err := net.Listen("tcp", fmt.Sprint(":", port))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go serve(c)
		}
	}()
}

// slowly reads a datagram every 10 ms.
func slowly(c net.PacketConn) {
	b := make([]byte, 2048)
	for {
		if _, _, err := c.ReadFrom(b); err != nil {
			log.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hold reads a byte every second, and lets a peer be silent for ten.
func hold(c net.Conn) {
	defer c.Close()
	var b [1]byte
	for {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(b[:]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// zeros is what pour sends.
var zeros [32 << 10]byte

// pour writes until the peer has taken nothing for ten seconds.
func pour(c net.Conn) {
	defer c.Close()
	for {
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(zeros[:]); err != nil {
			return
		}
	}
}

// answer reads a byte, writes one, and is the first to close.
func answer(c net.Conn) {
	defer c.Close()
	var b [1]byte
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(b[:]); err == nil {
		c.Write(b[:])
	}
}
