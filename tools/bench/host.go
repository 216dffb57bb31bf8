package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The network is one cable between the host's end and the guest's.
const (
	hostAddr  = "10.77.0.1"
	guestAddr = "10.77.0.2"
	guestMAC  = "52:54:00:77:00:02"
	tap       = "tap0"
	webAddr   = guestAddr + ":8080"
	rawAddr   = guestAddr + ":5201"
)

// namespaceMark is set, to the working folder, in the environment of the process that runs in the
// network namespace.
const namespaceMark = "YOLK_BENCH_NAMESPACE"

func namespaceDir() string { return os.Getenv(namespaceMark) }

// reenter runs this command again in a new network namespace, which ends with it.
func reenter(ctx context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), namespaceMark+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running in a network namespace: %w", err)
	}
	return nil
}

// missing returns what the host lacks, each with what to do.
func missing() []error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("the network namespace and its tap device need root: run it with sudo -E"))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		errs = append(errs, errors.New("there is no /dev/net/tun: load its module (modprobe tun)"))
	}
	for _, p := range [][2]string{
		{"qemu-system-x86_64", "qemu-system-x86"}, {"ip", "iproute2"}, {"gcc", "gcc"},
		{"wrk", "wrk"}, {"apt-get", "apt"}, {"dpkg", "dpkg"}, {"go", "golang"},
	} {
		if _, err := exec.LookPath(p[0]); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: install the package %s", p[0], p[1]))
		}
	}
	return errs
}

// command runs a program and returns its output, trimmed; an error includes the end of its output.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	out, err := output(ctx, dir, env, name, args...)
	return strings.TrimSpace(string(out)), err
}

func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.Bytes(), nil
}

// makeTap makes the host's end of the cable. The neighbour entry is permanent, so that no ARP
// exchange delays the first request.
func makeTap(ctx context.Context) error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"tuntap", "add", tap, "mode", "tap"},
		{"address", "add", hostAddr + "/24", "dev", tap},
		{"link", "set", tap, "up"},
		{"neighbour", "replace", guestAddr, "lladdr", guestMAC, "dev", tap, "nud", "permanent"},
	} {
		if _, err := command(ctx, "", nil, "ip", args...); err != nil {
			return err
		}
	}
	// Router solicitations would disturb the measurement; a kernel without IPv6 sends none.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+tap+"/disable_ipv6", []byte("1"), 0)
	return nil
}

// setQueue sets how many packets wait for the guest. A long queue would deliver the SYNs of all past
// attempts to a guest that has just booted; a short one would slow down a stream.
func setQueue(ctx context.Context, packets string) error {
	_, err := command(ctx, "", nil, "ip", "link", "set", tap, "txqueuelen", packets)
	return err
}

const (
	bootQueue = "4"
	loadQueue = "1000"
)

//go:embed native/insn.c
var pluginSource []byte

//go:embed native/empty.s
var emptySource []byte

// buildNative builds the instruction counter and the empty guest.
func buildNative(ctx context.Context, dir string) (plugin, empty string, err error) {
	plugin, empty = filepath.Join(dir, "insn.so"), filepath.Join(dir, "empty.elf")
	if err := os.WriteFile(filepath.Join(dir, "insn.c"), pluginSource, 0o600); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "empty.s"), emptySource, 0o600); err != nil {
		return "", "", err
	}
	// QEMU itself defines the functions that the plugin calls.
	if _, err := command(ctx, dir, nil, "gcc", "-O2", "-shared", "-fPIC", "-o", plugin, "insn.c"); err != nil {
		return "", "", err
	}
	_, err = command(ctx, dir, nil, "gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-Ttext=0x100000", "-o", empty, "empty.s")
	return plugin, empty, err
}

// moduleRoot returns the folder of this module.
func moduleRoot(ctx context.Context) (string, error) {
	return command(ctx, "", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/yolk-unikernel/yolk")
}
