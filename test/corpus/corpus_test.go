// Package corpus boots programs of other projects: each folder here is a small main over a public
// library in a module of its own, with its versions pinned, and the larger programs come by version
// from the module proxy, unmodified. The tests use each as its users would.
package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

func TestMain(m *testing.M) { vm.Main(m) }

// buildTimeout bounds one test; the largest program has about 700 packages.
const buildTimeout = 10 * time.Minute

// boot starts a program; target is a folder here or MODULE@VERSION.
func boot(t *testing.T, target string, flags []string, args ...string) *vm.VM {
	t.Helper()
	if !strings.Contains(target, "@") {
		target = filepath.Join(vm.Root(t), "test/corpus", target)
	}
	return vm.Start(t, vm.Options{Flags: flags, Target: target, Args: args, Timeout: buildTimeout})
}

// get fetches a path from the guest's port 8080.
func get(t *testing.T, m *vm.VM, path string, header ...string) (body string, h http.Header) {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+m.Addr("tcp", 8080)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	m.Eventually(func() error {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		body, h = string(b), resp.Header
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, b)
		}
		return err
	})
	return body, h
}

// dial connects to a guest port whose program greets, or answers hello.
func dial(t *testing.T, m *vm.VM, port int) (net.Conn, *bufio.Reader) {
	t.Helper()
	addr := m.Addr("tcp", port)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c, bufio.NewReader(c)
}

func TestEcho(t *testing.T) {
	m := boot(t, "echo", []string{"-p", ":8080"})
	if got, _ := get(t, m, "/hi/yolk"); strings.TrimSpace(got) != `{"hello":"yolk"}` {
		t.Errorf("GET /hi/yolk = %q", got)
	}
}

func TestFiber(t *testing.T) {
	m := boot(t, "fiber", []string{"-p", ":8080"})
	if got, _ := get(t, m, "/hi/yolk"); got != "hello yolk" {
		t.Errorf("GET /hi/yolk = %q", got)
	}
}

func TestGoja(t *testing.T) {
	m := boot(t, "goja", []string{"-p", ":8080"})
	js := url.QueryEscape("[3,1,2].sort().map(x => x * 7).join()")
	if got, _ := get(t, m, "/eval?js="+js); got != "7,14,21" {
		t.Errorf("JavaScript = %q; want 7,14,21", got)
	}
}

func TestWazero(t *testing.T) {
	for _, mode := range []string{"interpreter", "compiler"} {
		m := boot(t, "wazero", nil, mode)
		m.WaitFor("sum [42] <nil>\n")
		if status := m.Wait(); status != 0 {
			t.Errorf("%s: exit status %d", mode, status)
		}
	}
}

func TestMiniredis(t *testing.T) {
	m := boot(t, "miniredis", []string{"-p", ":6379"})
	addr := m.Addr("tcp", 6379) // the port is assigned once the program is built
	m.Eventually(func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nyolk\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
		got := make([]byte, len("+OK\r\n$4\r\nyolk\r\n"))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if string(got) != "+OK\r\n$4\r\nyolk\r\n" {
			t.Errorf("SET and GET answered %q", got)
		}
		return nil
	})
}

// Packet sockets and filters, through the libraries that use them: an ARP request to QEMU's gateway, captures,
// and a lease of QEMU's DHCP server.
func TestPacket(t *testing.T) {
	m := boot(t, "packet", []string{"-e", "GOTRACEBACK=all"})
	for _, want := range []string{
		"arp: 10.0.2.2 is at 52:55:0a:00:02:02\n",
		"packet: \"hello\" from 52:54:00:12:34:56, 1 frames, 0 lost\n",
		"pcapgo: \"a frame\", 21 bytes, true ago\n",
		"bpf: yes\n",
		"dhcp: 10.0.2.15 from 10.0.2.2\n",
	} {
		m.WaitFor(want)
	}
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// The client side of RFC 6455 is short enough to write here: an upgrade, one masked text frame, the
// answering frame.
func TestWebSocket(t *testing.T) {
	m := boot(t, "websocket", []string{"-p", ":8080"})
	url := "http://" + m.Addr("tcp", 8080) + "/"
	m.Eventually(func() error {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	c, r := dial(t, m, 8080)
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", c.RemoteAddr())
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	// The accept key of that sample nonce, RFC 6455 §1.3.
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept key %q", got)
	}
	mask := []byte{1, 2, 3, 4}
	frame := append([]byte{0x81, 0x80 | 5}, mask...)
	for i, b := range []byte("ping!") {
		frame = append(frame, b^mask[i%4])
	}
	c.Write(frame)
	got := make([]byte, 7)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "\x81\x05ping!" {
		t.Errorf("frame %q, %v; want ping! back", got, err)
	}
}

// files writes a folder for -files.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCaddy(t *testing.T) {
	text := strings.Repeat("a page of text that compresses well\n", 200)
	dir := files(t, map[string]string{
		"Caddyfile":  "{\n admin off\n auto_https off\n}\nhttp://:8080 {\n root * /conf/site\n encode gzip\n file_server\n}\n",
		"site/x.txt": text,
	})
	m := boot(t, "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9", []string{"-p", ":8080", "-files", dir + ":/conf"},
		"run", "--config", "/conf/Caddyfile", "--adapter", "caddyfile")
	m.WaitFor("serving initial configuration")
	if got, _ := get(t, m, "/x.txt"); got != text {
		t.Errorf("GET /x.txt has %d bytes; want the %d of the file", len(got), len(text))
	}
	body, h := get(t, m, "/x.txt", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil || h.Get("Content-Encoding") != "gzip" {
		t.Fatalf("encoding %q, %v; want gzip", h.Get("Content-Encoding"), err)
	}
	if b, err := io.ReadAll(z); string(b) != text {
		t.Errorf("gzip body has %d bytes, %v", len(b), err)
	}
}

func TestCoreDNS(t *testing.T) {
	dir := files(t, map[string]string{
		"Corefile": ".:53 {\n hosts /conf/hosts\n cache\n log\n errors\n}\n",
		"hosts":    "192.0.2.5 foo.test\n2001:db8::5 foo.test\n",
	})
	m := boot(t, "github.com/coredns/coredns@v1.15.0", []string{"-p", ":53", "-p", ":53/udp", "-files", dir + ":/conf"},
		"-conf", "/conf/Corefile")
	m.WaitFor("CoreDNS-1.15.0")
	for _, proto := range []string{"udp", "tcp"} {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, proto, m.Addr(proto, 53))
		}}
		var got []netip.Addr
		m.Eventually(func() (err error) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			got, err = resolver.LookupNetIP(ctx, "ip", "foo.test.")
			return err
		})
		slices.SortFunc(got, netip.Addr.Compare)
		want := []netip.Addr{netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("2001:db8::5")}
		if !slices.Equal(got, want) {
			t.Errorf("foo.test over %s is %v; want %v", proto, got, want)
		}
	}
	query := dnsQuery("none.test.", 1)
	c, r := dial(t, m, 53)
	c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...))
	head := make([]byte, 14)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.Equal(head[2:4], query[:2]) {
		t.Errorf("a name outside the hosts file: %x, %v; want an answer with our id", head, err)
	}
}

// dnsQuery is a query of RFC 1035 §4.1.
func dnsQuery(name string, qtype uint16) []byte {
	q := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = binary.BigEndian.AppendUint16(append(q, 0), qtype)
	return binary.BigEndian.AppendUint16(q, 1)
}

func TestNATS(t *testing.T) {
	m := boot(t, "github.com/nats-io/nats-server/v2@v2.15.2", []string{"-p", ":4222", "-p", ":8222"},
		"-a", "0.0.0.0", "-p", "4222", "-m", "8222", "-js", "-sd", "/tmp/js")
	m.WaitFor("Server is ready")
	m.Eventually(func() error {
		c, err := net.Dial("tcp", m.Addr("tcp", 4222))
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
		r := bufio.NewReader(c)
		var all strings.Builder
		for !strings.Contains(all.String(), "PONG\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			all.WriteString(line)
		}
		if !strings.Contains(all.String(), "MSG a 1 2\r\nhi\r\n") {
			return fmt.Errorf("server said %q; want our message back", all.String())
		}
		return nil
	})
}
