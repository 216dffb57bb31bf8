package qemu

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Debugger is where QEMU's gdb stub listens. Whoever reaches it controls the VM, and QEMU's
// monitor through gdb's command "monitor".
type Debugger struct {
	Addr netip.AddrPort
	Path string // of a Unix socket, in place of Addr
}

// ParseDebugger reads PORT, :PORT, ADDR:PORT or unix:PATH, and the same after QEMU's own tcp:.
// Without ADDR only this host can connect (127.0.0.1); port 0 is a free one.
func ParseDebugger(s string) (Debugger, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok && path != "" && !strings.Contains(path, ",") {
		return Debugger{Path: path}, nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s, "tcp:"))
	if err != nil {
		host, port = "", strings.TrimPrefix(s, "tcp:")
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return Debugger{}, fmt.Errorf("-gdb %s: want :PORT, ADDR:PORT or unix:PATH", s)
	}
	return Debugger{Addr: addr}, nil
}

// Pick chooses a free port if none is given, as [Forward.Pick] does.
func (d *Debugger) Pick() error {
	if d.IsZero() || d.Path != "" || d.Addr.Port() != 0 {
		return nil
	}
	l, err := net.Listen("tcp", d.Addr.String())
	if err != nil {
		return err
	}
	defer l.Close()
	d.Addr = netip.AddrPortFrom(d.Addr.Addr(), uint16(l.Addr().(*net.TCPAddr).Port))
	return nil
}

// Wide reports whether other hosts can connect.
func (d Debugger) Wide() bool { return d.Addr.IsValid() && !d.Addr.Addr().IsLoopback() }

// IsZero reports whether there is no debugger.
func (d Debugger) IsZero() bool { return d == Debugger{} }

// String returns the address as gdb's command "target remote" takes it.
func (d Debugger) String() string {
	if d.Path != "" {
		return d.Path
	}
	return d.Addr.String()
}

// args are QEMU's.
func (d Debugger) args() []string {
	switch {
	case d.IsZero():
		return nil
	case d.Path != "":
		return []string{"-gdb", "unix:" + d.Path + ",server=on,wait=off"}
	}
	return []string{"-gdb", "tcp:" + d.Addr.String()}
}
