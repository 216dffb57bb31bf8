// Command busy computes on all CPUs and serves its profiles on :8080.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"
)

func main() {
	for range runtime.NumCPU() {
		go func() {
			for n := uint64(1); ; n++ {
				hot(n)
			}
		}()
	}
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	log.Fatal(http.Serve(l, nil))
}

var sink uint64

// hot is the function that takes the time.
//
//go:noinline
func hot(n uint64) {
	for range 10_000 {
		n = n*6364136223846793005 + 1442695040888963407
	}
	sink = n
}
