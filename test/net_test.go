package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// get fetches a path from the guest's port 8080, waiting until it listens.
func get(t *testing.T, m *vm.VM, path string) string {
	t.Helper()
	url := "http://" + m.Addr("tcp", 8080) + path
	var body []byte
	m.Eventually(func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
		return err
	})
	return string(body)
}

func startServe(t *testing.T, flags ...string) *vm.VM {
	t.Helper()
	m := vm.Start(t, vm.Options{Flags: append([]string{"-p", ":8080"}, flags...), Target: serve})
	// QEMU accepts connections earlier, and repeats its own SYN to the guest only after
	// seconds.
	m.WaitFor("listening")
	if got := get(t, m, "/"); got != "hello" {
		t.Fatalf("GET / = %q; want hello", got)
	}
	return m
}

func TestHandlerPanicIsRecovered(t *testing.T) {
	t.Parallel()
	m := startServe(t)
	if _, err := http.Get("http://" + m.Addr("tcp", 8080) + "/nil"); err == nil {
		t.Error("a nil dereference in a handler answered; want the connection closed")
	}
	m.WaitFor("http: panic serving")
	if got := get(t, m, "/"); got != "hello" {
		t.Errorf("after the panic GET / = %q; want hello", got)
	}
}

func TestWebInLittleMemory(t *testing.T) {
	t.Parallel()
	m := startServe(t, "-m", "32M")
	url := "http://" + m.Addr("tcp", 8080) + "/"
	for i := range 1000 {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// Many clients keep their connections and send many requests.
func TestKeepAliveLoad(t *testing.T) {
	t.Parallel()
	m := startServe(t)
	url := "http://" + m.Addr("tcp", 8080) + "/"
	const clients, requests = 32, 50
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for range requests {
				resp, err := client.Get(url)
				if err != nil {
					errs <- err
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != "hello" {
					errs <- fmt.Errorf("body %q, %w", b, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

const bulk = 16 << 20

// Bulk data arrives complete in both directions, and its memory is freed.
func TestBigTransfers(t *testing.T) {
	t.Parallel()
	m := startServe(t, "-m", "64M")
	transfer(t, m)
	before := freeMemory(t, m)
	for range 3 {
		transfer(t, m)
	}
	// Memory in pools is freed by the second garbage collection, that of a connection when the
	// connection has ended.
	m.Eventually(func() error {
		if lost := before - freeMemory(t, m); lost > 2048 {
			return fmt.Errorf("three more transfers left %d KiB less free memory; want no loss", lost)
		}
		return nil
	})
}

// freeMemory returns the guest's free memory in KiB.
func freeMemory(t *testing.T, m *vm.VM) int {
	t.Helper()
	n, err := strconv.Atoi(get(t, m, "/free"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// transfer sends and fetches bulk bytes.
func transfer(t *testing.T, m *vm.VM) {
	t.Helper()
	base := "http://" + m.Addr("tcp", 8080)
	data := make([]byte, bulk)
	rand.NewChaCha8([32]byte{1}).Read(data)
	want := sha256.Sum256(data)

	resp, err := http.Get(fmt.Sprintf("%s/down?n=%d", base, bulk))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	resp.Body.Close()
	if n != bulk || err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Errorf("download: %d bytes, %v, sum %x; want %d and %x", n, err, h.Sum(nil), bulk, want)
	}

	resp, err = http.Post(base+"/up", "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if text := fmt.Sprintf("%d %x", bulk, want); string(got) != text {
		t.Errorf("upload: the guest received %q; want %q", got, text)
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	m := startServe(t, "-p", ":8081/udp")
	c, err := net.Dial("udp", m.Addr("udp", 8081))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range []int{0, 1, 1400, 8000} {
		msg := bytes.Repeat([]byte("x"), n)
		m.Eventually(func() error {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Write(msg); err != nil {
				return err
			}
			b := make([]byte, 65536)
			got, err := c.Read(b)
			if err == nil && !bytes.Equal(b[:got], msg) {
				err = fmt.Errorf("echo of %d bytes has %d", n, got)
			}
			return err
		})
	}
}

func TestFixedAddress(t *testing.T) {
	t.Parallel()
	m := startServe(t, "-ip", "192.168.7.9/24,gw=192.168.7.1")
	if got := get(t, m, "/addrs"); !strings.Contains(got, "192.168.7.9/24") {
		t.Errorf("the guest's addresses are %s; want 192.168.7.9/24", got)
	}
}

// If a host port is in use, yolk prints one line and starts no VM.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	got := vm.Run(t, vm.Options{Flags: []string{"-p", fmt.Sprintf("%d:8080", port)}, Target: serve})
	if want := fmt.Sprintf("yolk: port %d is in use; choose another with -p", port); got.Status == 0 || !strings.Contains(got.Stderr, want) {
		t.Errorf("got %+v; want %q", got, want)
	}
}

// An idle guest does not use the host's CPU.
func TestIdleGuestSleeps(t *testing.T) {
	m := startServe(t)
	time.Sleep(2 * time.Second) // for the runtime's background work
	before := m.CPUTime()
	time.Sleep(5 * time.Second)
	if used := m.CPUTime() - before; used > 500*time.Millisecond {
		t.Errorf("an idle guest used %v of CPU time in 5 s", used)
	}
}
