package qemu

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// passtBinary is the program of -net passt (passt(1)): it translates a guest's frames to sockets of
// this host, as QEMU's own network does, in a process of its own.
const passtBinary = "passt"

// passt returns which network is passt's, or -1.
func (c *Config) passt() int {
	return slices.IndexFunc(c.Nets, func(n Net) bool { return n.Kind == NetPasst })
}

// passtArgs returns passt's arguments; the frames come on descriptor 3.
func (c *Config) passtArgs() []string {
	a := []string{"--foreground", "--quiet", "--fd", "3"}
	if n := c.Nets[c.passt()]; !n.HostLoopback {
		a = append(a, "--no-map-gw")
	}
	if c.passt() == 0 && c.IP.Addr.IsValid() {
		a = append(a, "--address", c.IP.Addr.Addr().String())
		if c.IP.Gateway.IsValid() {
			a = append(a, "--gateway", c.IP.Gateway.String())
		}
	}
	for _, f := range c.Forwards {
		flag := "--tcp-ports"
		if f.Proto == "udp" {
			flag = "--udp-ports"
		}
		a = append(a, flag, fmt.Sprintf("%s/%d:%d", f.Host.Addr(), f.Host.Port(), f.Guest))
	}
	return a
}

// startPasst starts passt for the network of that kind, and returns QEMU's end of the connection. It
// ends with QEMU, which closes that, or with this process.
func (vm *VM) startPasst() (*os.File, error) {
	path, err := exec.LookPath(passtBinary)
	if err != nil {
		return nil, fmt.Errorf("-net passt: %s is not installed; install the package passt, or use -net user", passtBinary)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "frames"), os.NewFile(uintptr(fds[1]), "frames")
	defer theirs.Close()
	cmd := exec.Command(path, vm.cfg.passtArgs()...)
	cmd.Env = environment(os.Environ())
	cmd.ExtraFiles = []*os.File{theirs}
	var errs tail
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("-net passt: %w", err)
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			select {
			case <-vm.done: // QEMU has closed its end
			default:
				vm.remark("-net passt: the network has ended (%v): %s", err, strings.TrimSpace(errs.String()))
			}
		}
	}()
	return ours, nil
}
