package main

import (
	"context"
	"path/filepath"
)

const guestPath = "github.com/yolk-unikernel/yolk/tools/bench/guest/cmd/"

// buildYolk builds the program into an image. The image is stripped, like the Linux guest's program;
// the symbols come from an unstripped one, whose code has the same addresses.
func buildYolk(ctx context.Context, root, dir string) (*system, error) {
	image, full := filepath.Join(dir, "image.elf"), filepath.Join(dir, "full.elf")
	build := func(out string, flags ...string) error {
		args := append([]string{"run", "./tools/yolk", "build", "-o", out}, flags...)
		_, err := command(ctx, root, nil, "go", append(args, "./tools/bench/guest/cmd/plain")...)
		return err
	}
	if err := build(image, "-ldflags", "-s -w"); err != nil {
		return nil, err
	}
	if err := build(full); err != nil {
		return nil, err
	}
	symbols, err := readSymbols(full)
	if err != nil {
		return nil, err
	}
	size, err := fileSize(image)
	return &system{
		Name: "yolk",
		// As yolk run does: no ACPI, devices are on the command line.
		Machine: "microvm,acpi=off,rtc=on,pit=on,pic=on",
		Kernel:  image,
		Append:  "ip=" + guestAddr + "/24::" + hostAddr,
		Image:   size,
		Symbols: symbols,
	}, err
}
