package corpus

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The program comes up as on Linux, and ends when it is asked to.
func TestWireGuardProgram(t *testing.T) {
	m := boot(t, "golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446", []string{"-e", "LOG_LEVEL=verbose"}, "-f", "wgyolk0")
	m.WaitFor("(wgyolk0)")
	for _, line := range []string{"Device started", "UAPI listener started", "Interface state was Down, requested Up, now Up"} {
		m.WaitFor(line)
	}
	m.Signal(syscall.SIGINT)
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if got := m.Stdout() + m.Stderr(); strings.Contains(got, "ERROR") || !strings.Contains(got, "Shutting down") {
		t.Errorf("the program says\n%s", got)
	}
}

// key returns a private and a public key, in hexadecimal digits.
func key(t *testing.T) (private, public string) {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", k.Bytes()), fmt.Sprintf("%x", k.PublicKey().Bytes())
}

// Two machines talk through a tunnel. The test carries their frames and sees nothing of what they say.
func TestWireGuard(t *testing.T) {
	own := [2]string{"10.99.0.1,fd99::1", "10.99.0.2,fd99::2"}
	var private, public [2]string
	var cables [2]*vm.Cable
	for i := range 2 {
		private[i], public[i] = key(t)
		cables[i] = vm.NewCable(t)
	}
	var tunnelled, clear atomic.Int64
	for i := range 2 {
		go carry(cables[i], cables[1-i], &tunnelled, &clear)
	}
	start := func(i int, more ...string) *vm.VM {
		flags := []string{"-net", cables[i].Flag, "-ip", fmt.Sprintf("10.9.0.%d/24", i+1)}
		args := []string{"-private", private[i], "-public", public[1-i], "-addresses", own[i], "-peers", own[1-i]}
		return boot(t, "wireguard", flags, append(args, more...)...)
	}
	server := start(1, "-serve")
	server.WaitFor("serving\n")
	client := start(0, "-endpoint", "10.9.0.2:51820")
	client.WaitFor("the interface is gone\n")
	if status := client.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	want := "the socket answers errno=0\nwgyolk0 is a tuntap of MTU 1420, up|pointtopoint|multicast|running\n" +
		"route to 10.99.0.2/32\nroute to fd99::1/128\nroute to fd99::2/128\n"
	for _, peer := range strings.Split(own[1], ",") {
		for _, what := range []string{"ping of 56", "ping of 1300", "ping of 5000", "datagram of 1300", "datagram of 5000"} {
			want += fmt.Sprintf("%s: %s bytes\n", netip.MustParseAddr(peer), what)
		}
		want += peer + ": 2097152 bytes there and back\n"
	}
	if got := client.Stdout(); !strings.Contains(got, want) {
		t.Errorf("the client says\n%s\nwant\n%s", got, want)
	}
	// Each of 8 MiB is in a message of at most 1420 bytes.
	if tunnelled.Load() < 8<<20/1420 || clear.Load() != 0 {
		t.Errorf("%d messages of the tunnel, %d frames in the clear", tunnelled.Load(), clear.Load())
	}
}

// carry passes frames from one cable to another, and counts those with messages of a tunnel, by UDP from
// port 51820, and those with the mark that every content in it begins with.
func carry(from, to *vm.Cable, tunnelled, clear *atomic.Int64) {
	for b := make([]byte, 1<<16); ; {
		n, err := from.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a machine that is not there yet: ECONNREFUSED
		}
		f := b[:n]
		if n > 14+20+8 && f[23] == syscall.IPPROTO_UDP && f[34] == 51820>>8 && f[35] == 51820&0xff {
			tunnelled.Add(1)
		}
		if bytes.Contains(f, []byte("this is in the clear")) {
			clear.Add(1)
		}
		to.Write(f)
	}
}
