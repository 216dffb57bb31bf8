// Package app is the program that both systems of the benchmark run: an HTTP
// server on :8080 and a raw TCP source and sink on :5201, with nothing but the
// standard library. Start at Main.
package app

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

var (
	hello = []byte("hello")
	tenK  = func() []byte {
		b := make([]byte, 10240)
		for i := range b {
			b[i] = 'a' + byte(i%26)
		}
		return b
	}()
)

// The handlers are marks of the instruction count, so each must stay a separate function.

//go:noinline
func rootHandler(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Write(hello)
}

//go:noinline
func tenKHandler(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Header().Set("Content-Length", "10240")
	w.Write(tenK)
}

//go:noinline
func jsonHandler(w http.ResponseWriter, r *http.Request) {
	var v any
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	json.NewEncoder(w).Encode(v)
}

// stream serves one connection to :5201. The client sends a mode and a length of eight bytes. With
// 'S' the guest sends that many bytes and waits for one; with 'R' it reads them and answers with
// one.
func stream(c net.Conn) {
	defer c.Close()
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	n := int64(binary.BigEndian.Uint64(head[1:]))
	buf := make([]byte, 64<<10)
	switch head[0] {
	case 'S':
		for n > 0 {
			k, err := c.Write(buf[:min(n, int64(len(buf)))])
			if err != nil {
				return
			}
			n -= int64(k)
		}
		io.ReadFull(c, head[:1])
	case 'R':
		for n > 0 {
			k, err := c.Read(buf)
			if err != nil {
				return
			}
			n -= int64(k)
		}
		c.Write(head[:1])
	}
}

func streams(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Println("accept on :5201:", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go stream(c)
	}
}

// Main serves until the HTTP listener fails.
func Main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", rootHandler)
	mux.HandleFunc("/10k", tenKHandler)
	mux.HandleFunc("POST /json", jsonHandler)
	web, err := net.Listen("tcp4", ":8080")
	if err != nil {
		fmt.Println("listen on :8080:", err)
		return
	}
	raw, err := net.Listen("tcp4", ":5201")
	if err != nil {
		fmt.Println("listen on :5201:", err)
		return
	}
	fmt.Println("listening")
	go streams(raw)
	fmt.Println(http.Serve(web, mux))
}
