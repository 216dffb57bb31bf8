package flat

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// loadSample is how long after the start of a machine its load is not 0 (calc_load: 5 s).
const loadSample = 6 * time.Second

// Work does a little of all that a machine counts, and keeps what it opened: connections over TCP and
// UDP, ones that are refused, a file that is written and read, time on the CPU, waiting.
func Work() (keep []io.Closer, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	s, err := l.Accept()
	if err != nil {
		return nil, err
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		return nil, err
	}
	keep = append(keep, l, c, s, p, u)
	net.Dial("tcp", "127.0.0.1:9") // refused, as what this sends:
	u.Write([]byte("discard"))
	text := []byte(strings.Repeat("yolk", 1000))
	for range 10 {
		if err := exchange(c, s, p, text); err != nil {
			return keep, err
		}
		time.Sleep(time.Millisecond)
	}
	file := filepath.Join(os.TempDir(), "work.txt")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return keep, err
	}
	_, err = os.ReadFile(file)
	for end := time.Now().Add(loadSample); time.Now().Before(end); {
	}
	return keep, err
}

func exchange(c, s net.Conn, p net.PacketConn, text []byte) error {
	if _, err := c.Write(text); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, len(text))); err != nil {
		return err
	}
	if _, err := p.WriteTo(text, p.LocalAddr()); err != nil {
		return err
	}
	_, _, err := p.ReadFrom(make([]byte, len(text)))
	return err
}
