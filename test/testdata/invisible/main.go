// Command invisible looks for goroutines that it did not start: there must be none, as on Linux.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"go.uber.org/goleak"
)

func main() {
	fmt.Println("goroutines", runtime.NumGoroutine())
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Stop(c)
	use()
	for range 100 { // connections end in the background
		if goleak.Find(goleak.IgnoreCurrent()) == nil && runtime.NumGoroutine() <= 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	// os/signal's loop is a goroutine of the program on Linux, too.
	fmt.Println("after use", runtime.NumGoroutine())
	fmt.Println("leaks", goleak.Find())
	pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
}

// use serves one request over the loopback device.
func use() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })}
	go server.Serve(l)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	server.Close()
}
