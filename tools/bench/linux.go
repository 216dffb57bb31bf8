package main

import (
	"context"
	"path/filepath"

	"github.com/yolk-unikernel/yolk/tools/debian"
)

// modules are the modules for a virtio NIC on microvm, without their dependencies.
var modules = []string{"virtio_mmio", "virtio_net"}

// buildLinux makes the guest of Debian's cloud kernel: the packaged kernel, and an initramfs of the
// program as /init and a few modules.
func buildLinux(ctx context.Context, root, dir string) (*system, error) {
	kernel, err := debian.Find(ctx)
	if err != nil {
		return nil, err
	}
	initBinary, symbols, err := buildInit(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := kernel.WriteInitramfs(ctx, initrd, initBinary, modules); err != nil {
		return nil, err
	}
	size, err := fileSize(kernel.Image, initrd)
	return &system{
		Name: "linux",
		// Debian's virtio_mmio has no command line support, so the devices come through ACPI.
		Machine: "microvm,acpi=on,rtc=on,pit=on,pic=on",
		Kernel:  kernel.Image,
		Initrd:  initrd,
		Append:  "console=ttyS0 quiet panic=-1 reboot=t" + debian.TSCWords(),
		Image:   size,
		Symbols: symbols,
	}, err
}

// buildInit builds the guest's only program, stripped, and returns the symbols of an unstripped one,
// whose code has the same addresses.
func buildInit(ctx context.Context, root, dir string) (string, map[string]uint64, error) {
	stripped, full := filepath.Join(dir, "init"), filepath.Join(dir, "init.full")
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}
	if _, err := command(ctx, root, env, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", stripped, guestPath+"linuxinit"); err != nil {
		return "", nil, err
	}
	if _, err := command(ctx, root, env, "go", "build", "-trimpath", "-o", full, guestPath+"linuxinit"); err != nil {
		return "", nil, err
	}
	symbols, err := readSymbols(full)
	return stripped, symbols, err
}
