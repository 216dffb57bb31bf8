// Package health asks a program in a VM whether it works: yolk run -health. A check goes through a
// forwarded port of the host, as a client would. Start with [Parse].
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Check is what to ask: http:PORT/PATH or tcp:PORT, with a port of the guest.
type Check struct {
	Kind string // "http" or "tcp"
	Port uint16
	Path string // of http
}

// Parse reads a check.
func Parse(s string) (Check, error) {
	bad := fmt.Errorf("-health %s: want http:PORT/PATH or tcp:PORT, with a port of the guest, as in -health http:8080/", s)
	kind, rest, _ := strings.Cut(s, ":")
	port, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 && kind == "http" {
		port, path = rest[:i], rest[i:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || kind != "http" && kind != "tcp" {
		return Check{}, bad
	}
	if kind == "http" && path == "" {
		path = "/"
	}
	return Check{kind, uint16(n), path}, nil
}

func (c Check) String() string { return fmt.Sprintf("%s:%d%s", c.Kind, c.Port, c.Path) }

// Ask checks once, at an address of the host. nil is a program that works.
func (c Check) Ask(ctx context.Context, addr string) error {
	if c.Kind == "http" {
		return askHTTP(ctx, "http://"+addr+c.Path)
	}
	return askTCP(ctx, addr)
}

// client keeps no connection: each check is that of a new client. A redirection is an answer.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// askHTTP wants a status below 400.
func askHTTP(ctx context.Context, url string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	q.Header.Set("User-Agent", "yolk-health")
	r, err := client.Do(q)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if err != nil {
		return err
	}
	defer r.Body.Close()
	io.CopyN(io.Discard, r.Body, 64<<10) // a server that is not read may complain
	if r.StatusCode >= 400 {
		return fmt.Errorf("the answer was %s", r.Status)
	}
	return nil
}

// quiet is how long a connection must stay open to count as accepted.
const quiet = 300 * time.Millisecond

// askTCP wants a connection that stays. QEMU's network accepts on the host before it asks the guest,
// and closes the connection if the guest refuses.
func askTCP(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(quiet))
	_, err = conn.Read(make([]byte, 1))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return errors.New("the guest does not accept connections")
}
