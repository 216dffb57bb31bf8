package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/bootline"
	"github.com/yolk-unikernel/yolk/tools/internal/diskimage"
	"github.com/yolk-unikernel/yolk/tools/internal/initfs"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
)

// memory returns a VM's RAM in bytes. The tests of package runtime need 3.1 GB
// on Linux, all others less than 700 MB.
func memory(pkg string) int64 {
	if pkg == "runtime" {
		return 4 << 30
	}
	return 1 << 30
}

// guest runs a package's tests in a VM.
func (h *host) guest(ctx context.Context, o *options, pkg string) (outcome, error) {
	dir, err := os.MkdirTemp("", "stdtests-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	var flags []string
	if o.disk {
		flags = append(flags, "-tags=yolkdisk")
	}
	bin, err := build(ctx, h.patched, h.gocache, "tamago", pkg, dir, flags...)
	if err != nil {
		return outcome{End: "does not build", Tail: err.Error()}, ctx.Err()
	}
	initrd := filepath.Join(dir, "files.cpio")
	if err := h.pack(initrd, pkg, bin); err != nil {
		return outcome{}, err
	}
	cfg := qemu.Config{
		Machine: qemu.Machines[0], Memory: memory(pkg), CPUs: o.cpus, Nets: []qemu.Net{{Kind: qemu.NetUser}},
		Kernel: bin, Initrd: initrd, Append: h.commandLine(o, pkg),
	}
	if o.disk {
		disk := qemu.Disk{Host: filepath.Join(dir, "disk.img"), Guest: diskPath}
		if _, err := diskimage.Create(diskimage.Options{File: disk.Host, Size: diskSize}); err != nil {
			return outcome{}, err
		}
		cfg.Disks = append(cfg.Disks, disk)
	}
	name := filepath.Join(h.dir, o.kind(), flat(pkg)+".out")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return outcome{}, err
	}
	console, err := os.Create(name)
	if err != nil {
		return outcome{}, err
	}
	defer console.Close()
	return boot(ctx, cfg, console, o.timeout)
}

// These are for -disk, which gives tests an ext4 disk for their temporary files.
const (
	diskPath = "/disk"
	diskSize = 4 << 30 // sparse
)

// boot runs the VM to its end, or for at most bound, and returns the outcome of the tests. Their
// output also goes to the file.
func boot(ctx context.Context, cfg qemu.Config, console *os.File, bound time.Duration) (outcome, error) {
	text := buffer{file: console}
	start := time.Now()
	cfg.Append += " " + qemu.EscapedInput
	vm, err := qemu.Start(cfg, qemu.Console{Out: &text})
	if err != nil {
		return outcome{}, err
	}
	hung := time.AfterFunc(bound, vm.Kill)
	defer hung.Stop()
	defer context.AfterFunc(ctx, vm.Kill)()
	status, err := vm.Wait()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	out := parse(text.bytes())
	out.Seconds = time.Since(start).Seconds()
	switch failure := (*qemu.Failure)(nil); {
	case errors.Is(err, qemu.ErrKilled):
		out.End, out.Tail = "hang", tail(text.bytes())
	case errors.As(err, &failure):
		out.End, out.Tail = "crash", tail(text.bytes())+"\n"+failure.Error()
	case err != nil:
		return out, err
	case status > 1 && out.End == "":
		out.End, out.Tail = "crash", tail(text.bytes())
	}
	return out, nil
}

// early is how long before the bound a test binary ends by itself, with the stacks of its
// goroutines.
const early = time.Minute

// executable is the path of a test binary in the guest. Tests read their own binary, which go
// test, too, puts in a folder of its own.
func executable(pkg string) string { return "/tmp/go-build/" + path.Base(pkg) + ".test" }

func (h *host) commandLine(o *options, pkg string) string {
	folder := filepath.Join(h.patched, "src", pkg)
	var l bootline.Line
	l.Add("arg0", executable(pkg))
	for _, a := range testArgs(pkg, (o.timeout - min(early, o.timeout/2)).String()) {
		l.Add("arg", a)
	}
	if o.test != "" {
		l.Add("arg", "-test.run="+o.test)
	}
	l.Add("cwd", folder)
	l.Add("env.PWD", folder)
	if o.disk {
		key, value := qemu.Disk{Guest: diskPath}.Word(0)
		l.Add(key, value)
		l.Add("env.TMPDIR", diskPath)
	}
	return l.String()
}

// pack writes the test binary and the files of GOROOT that a package's tests read, at the path
// that the binary contains. The files are the stock ones: some tests look at all packages, and
// would also find this project's.
func (h *host) pack(name, pkg, bin string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	sources := []initfs.Source{{Host: bin, Guest: executable(pkg)}}
	for _, file := range files(pkg) {
		if filepath.IsAbs(file) {
			if _, err := os.Stat(file); err == nil { // without it the test is skipped on Linux, too
				sources = append(sources, initfs.Source{Host: file, Guest: file})
			}
			continue
		}
		sources = append(sources, initfs.Source{Host: filepath.Join(h.stock, file), Guest: filepath.Join(h.patched, file)})
	}
	// The archive stays in memory while the program runs.
	if _, err := initfs.Write(f, sources, initfs.Options{MaxBytes: memory(pkg) / 3, Exclude: notRead}); err != nil {
		return err
	}
	return f.Close()
}

// notRead are large files that no test reads: the race detector's libraries.
func notRead(d fs.DirEntry) bool { return strings.HasSuffix(d.Name(), ".syso") }

// buffer collects the console's output.
type buffer struct {
	file *os.File
	mu   sync.Mutex
	b    bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Write(p)
	return b.file.Write(p)
}

func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}
