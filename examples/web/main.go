// Command web serves a page that counts its visitors, and the profiles of net/http/pprof, until it gets
// SIGTERM or Ctrl-C.
//
//	yolk run -p 8080:8080 ./examples/web
//	curl http://localhost:8080/
//	go tool pprof http://localhost:8080/debug/pprof/profile?seconds=5
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const page = `<!doctype html>
<title>yolk</title>
<h1>Hello from a virtual machine that is one Go program</h1>
<p>You are visitor %d. This machine has been up for %v.</p>
<p>It runs %s on %d CPU(s) with %d goroutines.
<a href="/debug/pprof/">Look inside</a>.</p>
`

var (
	visits atomic.Int64
	start  = time.Now()
)

func index(w http.ResponseWriter, r *http.Request) {
	up := time.Since(start).Round(time.Millisecond)
	fmt.Fprintf(w, page, visits.Add(1), up, runtime.Version(), runtime.NumCPU(), runtime.NumGoroutine())
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	http.HandleFunc("GET /{$}", index)
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on :8080")
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		fmt.Println("stopping:", err)
	}
	fmt.Println("stopped; visits:", visits.Load())
}
