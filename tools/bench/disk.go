package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/yolk-unikernel/yolk/tools/debian"
)

// The disk benchmark runs tools/bench/diskguest on both systems, on copies of the same ext4 image,
// interleaved. It needs no network and no root.

// diskRows are the guest's measurements, by the names it prints.
var diskRows = []struct {
	key string
	metric
}{
	{"coldsequential", metric{"4 KiB reads in sequence, nothing cached", "/s", "more"}},
	{"coldrandom", metric{"4 KiB reads at random, nothing cached", "/s", "more"}},
	{"writesequential", metric{"4 KiB writes in sequence, one fsync", "/s", "more"}},
	{"writerandom", metric{"4 KiB overwrites at random, one fsync", "/s", "more"}},
	{"overwritesync", metric{"4 KiB overwrite and fsync", "/s", "more"}},
	{"create", metric{"files made, of 10,000 in a directory", "/s", "more"}},
	{"delete", metric{"files removed", "/s", "more"}},
	{"sqlitecommit", metric{"SQLite, transactions of one insert", "/s", "more"}},
	{"sqliteinsert", metric{"SQLite, inserts in one transaction", "/s", "more"}},
}

const (
	diskSize = "1G"
	coldSize = 64 << 20
	diskRAM  = 512 // MiB
)

// runDisk measures the disk of both systems.
func runDisk(ctx context.Context, o *options) error {
	for _, p := range [][2]string{{"qemu-system-x86_64", "qemu-system-x86"}, {"mkfs.ext4", "e2fsprogs"}, {"apt-get", "apt"}, {"dpkg", "dpkg"}} {
		if _, err := exec.LookPath(p[0]); err != nil {
			return fmt.Errorf("%s is missing: install the package %s", p[0], p[1])
		}
	}
	dir, err := os.MkdirTemp("", "yolk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	image := filepath.Join(dir, "disk")
	if err := makeDisk(ctx, dir, image); err != nil {
		return err
	}
	systems, err := o.buildAll(ctx, root, dir, diskYolk, diskLinux)
	if err != nil {
		return err
	}
	r := newReport(systems)
	for i := range o.runs {
		for _, s := range systems {
			fmt.Fprintf(os.Stderr, "bench: run %d, %s\n", i+1, s.Name)
			if err := s.diskRun(ctx, dir, image, r); err != nil {
				return err
			}
		}
	}
	r.print(os.Stdout)
	if o.json != "" {
		return r.writeJSON(o.json)
	}
	return nil
}

// makeDisk makes an ext4 image with a file to read.
func makeDisk(ctx context.Context, dir, image string) error {
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	cold := make([]byte, coldSize)
	rand.Read(cold)
	if err := os.WriteFile(filepath.Join(files, "cold"), cold, 0o644); err != nil {
		return err
	}
	_, err := command(ctx, "", nil, "mkfs.ext4", "-q", "-d", files, image, diskSize)
	return err
}

// diskYolk builds the program as an image that can have disks.
func diskYolk(ctx context.Context, root, dir string) (*system, error) {
	tool, image := filepath.Join(dir, "yolk"), filepath.Join(dir, "yolk.elf")
	if _, err := command(ctx, root, nil, "go", "build", "-o", tool, "./tools/yolk"); err != nil {
		return nil, err
	}
	if _, err := command(ctx, filepath.Join(root, "tools/bench/diskguest"), nil, tool, "build", "-disk", "-o", image, "."); err != nil {
		return nil, err
	}
	return &system{
		Name:    "yolk",
		Machine: "microvm,acpi=off,rtc=on,pit=on,pic=on",
		Kernel:  image,
		Append:  "mount=disk0:/data",
	}, nil
}

// diskLinux builds the program as the init of Debian's cloud kernel.
func diskLinux(ctx context.Context, root, dir string) (*system, error) {
	kernel, err := debian.Find(ctx)
	if err != nil {
		return nil, err
	}
	init, initrd := filepath.Join(dir, "init"), filepath.Join(dir, "initrd")
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}
	if _, err := command(ctx, filepath.Join(root, "tools/bench/diskguest"), env, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", init, "."); err != nil {
		return nil, err
	}
	if err := kernel.WriteInitramfs(ctx, initrd, init, debian.DiskModules); err != nil {
		return nil, err
	}
	return &system{
		Name:    "linux",
		Machine: "microvm,acpi=on,rtc=on,pit=on,pic=on",
		Kernel:  kernel.Image,
		Initrd:  initrd,
		Append:  "console=ttyS0 quiet panic=-1 reboot=t" + debian.TSCWords(),
	}, nil
}

// diskRun runs a guest once, on a new copy of the image.
func (s *system) diskRun(ctx context.Context, dir, image string, r *report) error {
	disk := filepath.Join(dir, "disk.run")
	if _, err := command(ctx, "", nil, "cp", "--sparse=always", image, disk); err != nil {
		return err
	}
	args := []string{
		"-M", s.Machine, "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(diskRAM) + "M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-global", "virtio-mmio.force-legacy=false",
		"-drive", "if=none,id=d0,format=raw,file=" + disk,
		"-device", "virtio-blk-device,drive=d0",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-kernel", s.Kernel, "-append", s.Append,
	}
	if s.Initrd != "" {
		args = append(args, "-initrd", s.Initrd)
	}
	ctx, cancel := context.WithTimeout(ctx, maxLife)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.WaitDelay = time.Second
	out, _ := cmd.Output() // QEMU returns yolk's exit status as another one
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w; it said:\n%s", s.Name, err, out)
	}
	return s.diskFigures(string(out), r)
}

// diskFigures parses the guest's lines.
func (s *system) diskFigures(out string, r *report) error {
	found := map[string]float64{}
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				found[key] = v
			}
		}
	}
	for _, row := range diskRows {
		v, ok := found[row.key]
		if !ok {
			r.fail(row.metric, s.Name, errors.New("no figure; the guest said:\n"+out))
			continue
		}
		r.add(row.metric, s.Name, v)
	}
	return nil
}
