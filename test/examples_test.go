package test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// tested are the examples that a test below boots; TestAllExamples checks that the list is
// complete.
var tested = map[string]bool{"hello": true, "web": true, "fetch": true, "machine": true, "forward": true, "uart": true}

func TestAllExamples(t *testing.T) {
	dirs, err := os.ReadDir(filepath.Join(vm.Root(t), "examples"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && !tested[d.Name()] {
			t.Errorf("examples/%s is booted by no test", d.Name())
		}
	}
}

func TestExampleHello(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Flags: []string{"-m", "16M", "-e", "NAME=egg"}, Target: "./examples/hello", Args: []string{"one", "two"}})
	wantOutput(t, got, 0, "hello, egg, from go1", "arguments: [one two]", "NAME=egg")
}

func TestExampleWeb(t *testing.T) {
	t.Parallel()
	m := vm.Start(t, vm.Options{Flags: []string{"-p", ":8080", "-m", "32M"}, Target: "./examples/web"})
	m.WaitFor("listening")
	if got := get(t, m, "/"); !strings.Contains(got, "You are visitor 1") {
		t.Errorf("GET / = %q", got)
	}
	if got := get(t, m, "/debug/pprof/goroutine?debug=1"); !strings.Contains(got, "goroutine profile") {
		t.Errorf("profile = %q", got)
	}
	m.Signal(syscall.SIGINT)
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d after Ctrl-C; want an orderly end", status)
	}
}

// fetch connects to a server on the host through the address that QEMU gives the host, over TLS with a
// certificate that the guest is told to trust.
func TestExampleFetch(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("over TLS")) }))
	defer server.Close()
	dir := t.TempDir()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o644); err != nil {
		t.Fatal(err)
	}
	// httptest's certificate is for example.com, so the guest has that name.
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("10.0.2.2 example.com\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	got := vm.Run(t, vm.Options{
		Flags:  []string{"-net", "user:host-loopback", "-files", dir + ":/certs", "-files", filepath.Join(dir, "hosts") + ":/etc/hosts", "-e", "SSL_CERT_FILE=/certs/cert.pem"},
		Target: "./examples/fetch", Args: []string{"https://example.com" + port + "/"},
	})
	wantOutput(t, got, 0, "example.com is at [10.0.2.2]", "200 OK")
}

var memoryLine = regexp.MustCompile(`memory +(\d+) MiB`)

func TestExampleMachine(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Flags: []string{"-m", "64M", "-smp", "3", "-qemu-arg", "-append", "-qemu-arg", "hostname=seen"}, Target: "./examples/machine"})
	wantOutput(t, got, 0, "hostname=seen", "CPUs     3")
	if m := memoryLine.FindStringSubmatch(got.Stdout); m == nil || len(m[1]) != 2 {
		t.Errorf("console %q; want the RAM near 64 MiB", got.Stdout)
	}
}
