package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// echo answers one TCP connection after another, and datagrams, on a port of an address of this host.
func echo(t *testing.T, ip string) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	port = l.Addr().(*net.TCPAddr).Port
	p, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", ip, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("pong"))
			c.Close()
		}
	}()
	go func() {
		for b := make([]byte, 16); ; {
			_, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo([]byte("pong"), from)
		}
	}()
	return port
}

// A guest reaches the host's loopback interface only if that was asked for, by neither TCP nor UDP.
func TestHostLoopback(t *testing.T) {
	t.Parallel()
	port := echo(t, "127.0.0.1")
	tcp, udp := fmt.Sprintf("tcp:10.0.2.2:%d", port), fmt.Sprintf("udp:10.0.2.2:%d", port)
	const program = "./test/testdata/reach"
	got := vm.Run(t, vm.Options{Target: program, Args: []string{tcp, udp}})
	if got.Status != 0 || strings.Contains(got.Stdout, "answers") || strings.Count(got.Stdout, "10.0.2.2") < 2 {
		t.Errorf("without being asked for: %+v", got)
	}
	if want := fmt.Sprintf("the guest is kept from 127.0.0.1:%d", port); strings.Count(got.Stderr, want) != 1 {
		t.Errorf("yolk says %q; want once %q", got.Stderr, want)
	}
	got = vm.Run(t, vm.Options{Flags: []string{"-net", "user:host-loopback"}, Target: program, Args: []string{tcp, udp}})
	if got.Status != 0 || strings.Count(got.Stdout, "answers pong") != 2 {
		t.Errorf("with -net user:host-loopback: %+v", got)
	}
}

// The same with passt, which also passes ports of the host to the guest.
func TestPasst(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("passt"); err != nil {
		t.Skip("passt is not installed")
	}
	m := vm.Start(t, vm.Options{Flags: []string{"-net", "passt", "-p", ":8080"}, Target: "./examples/web"})
	if got := get(t, m, "/"); !strings.Contains(got, "<title>yolk</title>") {
		t.Errorf("GET / = %q", got)
	}
	// passt gives the guest the host's gateway, in whose place a fixed one is known.
	port := echo(t, "127.0.0.1")
	for _, tt := range []struct{ net, want string }{{"passt", ""}, {"passt:host-loopback", "answers pong"}} {
		got := vm.Run(t, vm.Options{Flags: []string{"-net", tt.net, "-ip", "10.0.2.15/24,gw=10.0.2.2"}, Target: "./test/testdata/reach",
			Args: []string{fmt.Sprintf("tcp:10.0.2.2:%d", port)}})
		if got.Status != 0 || strings.Contains(got.Stdout, "answers") != (tt.want != "") {
			t.Errorf("-net %s: %+v; want %q", tt.net, got, tt.want)
		}
	}
}

// A guest makes no set-user-ID file in a folder of root's, and no link in it leads QEMU out.
func TestFolderOfRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("for what root shares")
	}
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "hidden"), []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"absolute": outside, "relative": "../" + filepath.Base(outside)} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got := vm.Run(t, vm.Options{Flags: []string{"-v", dir + ":/data"}, Target: "./test/testdata/setid", Args: []string{"/data"}})
	if got.Status != 0 || strings.Contains(got.Stdout, "outside") {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"create: operation not permitted", "chmod: operation not permitted", "fchmod: operation not permitted", "plain: <nil>"} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("the program prints %q; want %q", got.Stdout, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%v, %v; want the program's file", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}
