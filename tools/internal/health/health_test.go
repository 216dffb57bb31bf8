package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Check{
		"http:80/healthz": {"http", 80, "/healthz"},
		"http:8080":       {"http", 8080, "/"},
		"http:1/a?b=c":    {"http", 1, "/a?b=c"},
		"tcp:6379":        {"tcp", 6379, ""},
	} {
		if got, err := Parse(s); got != want || err != nil {
			t.Errorf("Parse(%s) = %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "http", "http:", "http:x/", "http:0/", "http:70000/", "tcp:80/", "udp:53", "80"} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), "want http:PORT/PATH or tcp:PORT") {
			t.Errorf("Parse(%q): %v; want the forms", s, err)
		}
	}
}

func TestHTTP(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			<-q.Context().Done()
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	addr := s.Listener.Addr().String()
	c := Check{"http", 80, "/"}
	for code, ok := range map[int]bool{200: true, 204: true, 302: true, 404: false, 500: false} {
		status = code
		if err := c.Ask(t.Context(), addr); (err == nil) != ok {
			t.Errorf("status %d: %v", code, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (Check{"http", 80, "/slow"}).Ask(ctx, addr); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a server that hangs: %v", err)
	}
}

// A connection that is accepted and closed at once is what QEMU's network makes of a closed port.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuse := make(chan bool, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if <-refuse {
				conn.Close()
			}
		}
	}()
	c := Check{Kind: "tcp", Port: 80}
	refuse <- false
	if err := c.Ask(t.Context(), l.Addr().String()); err != nil {
		t.Errorf("a server that waits: %v", err)
	}
	refuse <- true
	if err := c.Ask(t.Context(), l.Addr().String()); err == nil {
		t.Error("a connection that is closed at once is healthy")
	}
	l.Close()
	if err := c.Ask(t.Context(), l.Addr().String()); err == nil {
		t.Error("a closed port is healthy")
	}
}

func TestTracker(t *testing.T) {
	began := time.Unix(1000, 0)
	fail := errors.New("no")
	k := NewTracker(Settings{Interval: 10 * time.Second, Retries: 2, Start: 5 * time.Second}, began)
	for i, tt := range []struct {
		second int
		err    error
		want   string
	}{
		{1, fail, Starting}, {4, fail, Starting}, // not counted
		{5, fail, Starting}, {6, fail, Unhealthy},
		{7, nil, Healthy},
		{8, fail, Healthy}, {9, nil, Healthy}, {10, fail, Healthy}, {11, fail, Unhealthy}, {12, fail, Unhealthy},
		{13, nil, Healthy},
	} {
		k.Add(began.Add(time.Duration(tt.second)*time.Second), tt.err)
		if k.State() != tt.want {
			t.Errorf("check %d: %s; want %s", i, k.State(), tt.want)
		}
	}
}
