package qemu

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// ErrNotInstalled is returned if there is no QEMU; its text names the package to install.
var ErrNotInstalled = errors.New(Binary + " is not installed: " + installHint())

func installHint() string {
	for _, h := range []struct{ file, text string }{
		{"/etc/debian_version", "apt-get install qemu-system-x86"},
		{"/etc/fedora-release", "dnf install qemu-system-x86-core"},
		{"/etc/redhat-release", "dnf install qemu-kvm"},
		{"/etc/arch-release", "pacman -S qemu-system-x86"},
		{"/etc/alpine-release", "apk add qemu-system-x86_64"},
	} {
		if _, err := os.Stat(h.file); err == nil {
			return h.text
		}
	}
	return "install QEMU's x86-64 system emulator (package qemu-system-x86)"
}

// Find returns the path of QEMU.
func Find() (string, error) {
	p, err := exec.LookPath(Binary)
	if err != nil {
		return "", ErrNotInstalled
	}
	return p, nil
}

var (
	forwardRule = regexp.MustCompile(`host forwarding rule '(tcp|udp):([0-9.]*):([0-9]+)-[0-9.]*:([0-9]+)'`)
	noVirtfs    = regexp.MustCompile(`fsdev support is disabled|no option group 'fsdev'|'virtio-9p-[a-z]+' is not a valid device`)
	diskFailure = regexp.MustCompile(`-(?:drive if=none,id|device virtio-blk-\w+,.*?drive)=disk(\d+),.*?: (Failed to get (?:shared )?("\w+") lock|Could not open .*)`)
	tapFailure  = regexp.MustCompile(`(?i)/dev/net/tun|\(ifname |TUNSETIFF|bridge helper`)
	udpFailure  = regexp.MustCompile(`-netdev socket,id=net(\d+),.*?: can't bind`)
)

// explain turns QEMU's standard error into one line; "" if it has nothing of use.
func (c *Config) explain(stderr string) string {
	if m := forwardRule.FindStringSubmatch(stderr); m != nil {
		return forwardFailure(m[1], m[2], m[3], m[4])
	}
	if m := diskFailure.FindStringSubmatch(stderr); m != nil {
		return c.diskFailure(m)
	}
	switch {
	case strings.Contains(stderr, "KVM kernel module") || strings.Contains(stderr, "failed to initialize kvm"):
		return "KVM does not work here; use -accel tcg"
	case strings.Contains(stderr, "cannot set up guest memory"):
		return fmt.Sprintf("the host cannot give the VM %d MiB of memory; choose less with -m", c.Memory>>20)
	case len(c.Folders) > 0 && noVirtfs.MatchString(stderr):
		f := c.Folders[0]
		return fmt.Sprintf("this QEMU is built without virtfs, which -v needs; install one that has it, or give the program a copy with -files %s:%s", f.Host, f.Guest)
	case c.tapIn(stderr) != "":
		tap := c.tapIn(stderr)
		return fmt.Sprintf("the tap interface %s cannot be opened; create it with: ip tuntap add %s mode tap user $USER && ip link set %s up",
			tap, tap, tap)
	case udpFailure.MatchString(stderr):
		i, _ := strconv.Atoi(udpFailure.FindStringSubmatch(stderr)[1])
		return fmt.Sprintf("UDP port %d is in use; choose another with -net udp:PORT:PORT", c.Nets[min(i, len(c.Nets)-1)].Local.Port())
	case !c.GDB.IsZero() && strings.Contains(stderr, "gdbstub"):
		return fmt.Sprintf("QEMU cannot listen on %s for the debugger; choose another address with -gdb", c.GDB)
	}
	return firstComplaint(stderr)
}

// tapIn returns the tap interface in QEMU's error message, or the first one if it has none.
func (c *Config) tapIn(stderr string) (tap string) {
	if !tapFailure.MatchString(stderr) {
		return ""
	}
	for _, n := range c.Nets {
		if n.Kind == NetTap && (tap == "" || strings.Contains(stderr, n.Tap)) {
			tap = n.Tap
		}
	}
	return tap
}

// diskFailure explains an error of a disk; m is the regular expression's match.
func (c *Config) diskFailure(m []string) string {
	i, _ := strconv.Atoi(m[1])
	if i >= len(c.Disks) {
		return m[2]
	}
	d := c.Disks[i]
	switch {
	case m[3] != "" && d.ReadOnly:
		return fmt.Sprintf("%s is in use: another VM writes to it; wait for its end", d.Host)
	case m[3] != "":
		return fmt.Sprintf("%s is in use by another VM, or another program has locked it; wait for its end, or give each a copy (several can read one with :ro)", d.Host)
	case strings.Contains(m[2], "Permission denied") || strings.Contains(m[2], "Read-only"):
		return fmt.Sprintf("%s cannot be written; add :ro to only read it", d.Host)
	}
	return m[2]
}

func forwardFailure(proto, addr, host, guest string) string {
	suffix := ""
	if proto == "udp" {
		suffix = "/udp"
	}
	var port int
	fmt.Sscan(host, &port)
	if a, err := netip.ParseAddr(addr); err == nil && !a.IsLoopback() && !a.IsUnspecified() {
		return fmt.Sprintf("cannot listen on %s:%s: the port is in use or the address is not this host's", addr, host)
	}
	if port < 1024 && os.Geteuid() != 0 {
		return fmt.Sprintf("port %s is in use or reserved for root; choose another with -p %d:%s%s", host, port+8000, guest, suffix)
	}
	other := port + 1
	if other > 65535 {
		other = port - 1
	}
	return fmt.Sprintf("port %s is in use; choose another with -p %d:%s%s", host, other, guest, suffix)
}

// firstComplaint returns QEMU's first line that is not a warning, without the program's name.
func firstComplaint(stderr string) string {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if i := strings.Index(line, Binary+": "); i >= 0 {
			line = line[i+len(Binary)+2:]
		}
		if line == "" || strings.HasPrefix(line, "warning:") || strings.HasPrefix(line, "info:") {
			continue
		}
		return line
	}
	return ""
}
