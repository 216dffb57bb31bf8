package test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// What a run leaves open on the host: every socket of the VMM is one that was asked for, on the
// loopback interface, or lies in the private folder of the user's VMs.
func TestSocketsOfTheHost(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	m := vm.Start(t, vm.Options{Flags: []string{"-p", ":8080", "-p", ":53/udp", "-gdb", ":0"}, Target: "./examples/web",
		Env: []string{"XDG_RUNTIME_DIR=" + run}})
	http, dns := m.Addr("tcp", 8080), m.Addr("udp", 53)
	get(t, m, "/")
	debugger := regexp.MustCompile(`target remote (\S+)'`).FindStringSubmatch(m.Stderr())
	if debugger == nil {
		t.Fatalf("yolk says %q; want the debugger's address", m.Stderr())
	}
	var listening, unix []string
	for _, pid := range m.VMM() {
		inodes := sockets(t, pid)
		for _, table := range []string{"tcp", "udp", "tcp6", "udp6"} {
			for _, s := range readSockets(t, pid, table) {
				if inodes[s.inode] && !s.connected {
					listening = append(listening, s.local)
				}
			}
		}
		unix = append(unix, unixSockets(t, pid, inodes)...)
	}
	slices.Sort(listening)
	want := []string{http, dns, debugger[1]}
	slices.Sort(want)
	if !slices.Equal(listening, want) {
		t.Errorf("the VMM listens on %q; want what was asked for, %q", listening, want)
	}
	if len(unix) != 1 || filepath.Dir(unix[0]) != filepath.Join(run, "yolk") {
		t.Errorf("Unix sockets %q; want the monitor's, in the private folder", unix)
	}
	if info, err := os.Stat(filepath.Join(run, "yolk")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the private folder: %v, %v; want mode 0700", info, err)
	}
}

// socket is one of /proc/net/tcp or udp, proc_pid_net(5).
type socket struct {
	local, inode string
	connected    bool
}

func readSockets(t *testing.T, pid, table string) (all []socket) {
	t.Helper()
	f, err := os.Open("/proc/" + pid + "/net/" + table)
	if os.IsNotExist(err) {
		return nil // no IPv6 here
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 10 || w[0] == "sl" {
			continue
		}
		addr, port, _ := strings.Cut(w[1], ":")
		raw, err := hex.DecodeString(addr)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(raw); i += 4 { // words in the host's byte order
			slices.Reverse(raw[i : i+4])
		}
		ip, _ := netip.AddrFromSlice(raw)
		var n uint16
		fmt.Sscanf(port, "%X", &n)
		_, remote, _ := strings.Cut(w[2], ":")
		all = append(all, socket{netip.AddrPortFrom(ip, n).String(), w[9], remote != "0000"})
	}
	return all
}

// unixSockets returns the paths of the listening Unix sockets.
func unixSockets(t *testing.T, pid string, inodes map[string]bool) (paths []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if w := strings.Fields(line); len(w) == 8 && inodes[w[6]] && !slices.Contains(paths, w[7]) {
			paths = append(paths, w[7])
		}
	}
	return paths
}

// sockets returns the inode numbers of a process's sockets.
func sockets(t *testing.T, pid string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	fds, err := filepath.Glob("/proc/" + pid + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		link, _ := os.Readlink(fd)
		if n, ok := strings.CutPrefix(link, "socket:["); ok {
			found[strings.TrimSuffix(n, "]")] = true
		}
	}
	return found
}
