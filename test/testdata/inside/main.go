// Command inside hangs in several ways, as its argument says, for TestAsk.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"sync"
)

func main() {
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	f, err := os.Create("/open file")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(f, "text")
	kept := make([]byte, 32<<20)
	defer runtime.KeepAlive([]any{kept, l, f}) // the collector would close them otherwise
	switch os.Args[1] {
	case "blocked":
		var mu sync.Mutex
		mu.Lock()
		go waitForever(&mu)
		fmt.Println("up")
		accept(l)
		mu.Lock()
	case "spin":
		fmt.Println("up")
		spin()
	}
}

// accept takes one connection, which nobody makes.
func accept(l net.Listener) { l.Accept() }

//go:noinline
func waitForever(mu *sync.Mutex) { mu.Lock() }

// spin never lets another goroutine run by itself.
//
//go:noinline
func spin() {
	for n := 0; ; n++ {
	}
}
