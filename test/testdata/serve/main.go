// Command serve is an HTTP server on :8080 (and a UDP echo on :8081) for the VM
// tests.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	http.HandleFunc("/nil", func(w http.ResponseWriter, r *http.Request) {
		var p *[4]int
		fmt.Fprintln(w, p[2])
	})
	http.HandleFunc("/down", down)
	http.HandleFunc("/up", up)
	http.HandleFunc("/addrs", addrs)
	http.HandleFunc("/free", free)
	http.HandleFunc("/time", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, time.Now().UnixMilli()) })
	http.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) { os.Exit(0) })
	go echo()
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(l))
}

// down sends n bytes of a generator that the test has, too.
func down(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.CopyN(w, rand.NewChaCha8([32]byte{1}), n)
}

func up(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
}

// free reports the free memory in KiB after the collector has returned what it can.
func free(w http.ResponseWriter, r *http.Request) {
	debug.FreeOSMemory()
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, rest, _ := strings.Cut(string(info), "MemFree:")
	fmt.Fprint(w, strings.Fields(rest)[0])
}

func addrs(w http.ResponseWriter, r *http.Request) {
	all, err := net.InterfaceAddrs()
	fmt.Fprintln(w, all, err)
}

func echo() {
	c, err := net.ListenPacket("udp", ":8081")
	if err != nil {
		log.Fatal(err)
	}
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			log.Fatal(err)
		}
		c.WriteTo(b[:n], from)
	}
}
