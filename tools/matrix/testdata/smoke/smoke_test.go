package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestVersion(t *testing.T) {
	if want := os.Getenv("WANT_GO"); runtime.Version() != want {
		t.Errorf("runtime.Version() = %s; want %s", runtime.Version(), want)
	}
}

// A loop without calls is preempted by a signal.
func TestPreemption(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	done := make(chan bool)
	go func() {
		for !stop.Load() {
		}
		close(done)
	}()
	time.Sleep(20 * time.Millisecond)
	stop.Store(true)
	<-done
}

var sink [][]byte

func TestCollection(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				_ = append([]byte(nil), make([]byte, 64<<10)...)
			}
		})
	}
	wg.Wait()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sink = append(sink, make([]byte, 1<<20))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.NumGC == before.NumGC {
		t.Error("runtime.GC did not collect")
	}
}

type pair struct{ a, b *int }

func TestFaults(t *testing.T) {
	for name, f := range map[string]func(*pair) int{
		"nil":    func(p *pair) int { return *p.b },
		"divide": func(p *pair) int { return 1 / len(sink[:0]) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(runtime.Error); !ok {
					t.Errorf("%s: no runtime.Error", name)
				}
			}()
			f(&pair{})
		}()
	}
}

func TestFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); string(b) != "text" {
		t.Errorf("ReadFile = %q, %v", b, err)
	}
	if _, err := os.Stat(name + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat = %v", err)
	}
}

func TestLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 1<<20)
	go func() {
		c.Write(sent)
		c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); len(got) != len(sent) {
		t.Errorf("%d bytes came back, %v; want %d", len(got), err, len(sent))
	}
	c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(sent); err == nil {
		t.Error("a read after the end succeeded")
	}
}

func TestZone(t *testing.T) {
	if _, err := time.LoadLocation("Europe/Lisbon"); err != nil {
		t.Error(err)
	}
}
