package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const jsonBody = `{"name":"yolk","numbers":[1,2,3,4.5],"nested":{"ok":true,"none":null,"text":"a small document"}}`

// request returns the bytes of a request for a path.
func request(path string) string {
	if path == "/json" {
		return fmt.Sprintf("POST /json HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(jsonBody), jsonBody)
	}
	return "GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n"
}

// sequential sends a request n times on one connection, each after the answer to the one before.
func sequential(req string, n int) error {
	c, err := net.DialTimeout("tcp4", webAddr, 3*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range n {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if err := exchange(c, r, req); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
	}
	return nil
}

func exchange(c net.Conn, r *bufio.Reader, req string) error {
	if _, err := io.WriteString(c, req); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	size, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || size == 0 {
		return fmt.Errorf("%s with %d bytes", resp.Status, size)
	}
	return nil
}

// streamOnce moves size bytes over one connection, from the guest ('S') or to it
// ('R'), and returns how long it took.
func streamOnce(mode byte, size int64) (time.Duration, error) {
	c, err := net.DialTimeout("tcp4", rawAddr, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	begin := time.Now()
	if _, err := c.Write(binary.BigEndian.AppendUint64([]byte{mode}, uint64(size))); err != nil {
		return 0, err
	}
	if mode == 'S' {
		if _, err = io.CopyN(io.Discard, c, size); err == nil {
			_, err = c.Write([]byte{1})
		}
	} else {
		if err = writeZeros(c, size); err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
	}
	return time.Since(begin), err
}

func writeZeros(w io.Writer, size int64) error {
	buf := make([]byte, 256<<10)
	for size > 0 {
		n, err := w.Write(buf[:min(size, int64(len(buf)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
