package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// modules are what the Debian kernel needs for a virtio NIC on microvm, besides
// what these depend on.
var modules = []string{"virtio_mmio", "virtio_net"}

// buildLinux makes the guest of Debian's cloud kernel: the kernel as it is
// packaged, and an initramfs of the program as /init and a few modules.
func buildLinux(ctx context.Context, root, dir string) (*system, error) {
	tree, err := debianKernel(ctx)
	if err != nil {
		return nil, err
	}
	kernel, err := findOne(tree, "vmlinuz-*")
	if err != nil {
		return nil, err
	}
	initBinary, symbols, err := buildInit(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitramfs(ctx, initrd, tree, initBinary, modules); err != nil {
		return nil, err
	}
	size, err := fileSize(kernel, initrd)
	return &system{
		Name: "linux",
		// Debian leaves out virtio_mmio's command line, so the devices come
		// through ACPI.
		Machine: "microvm,acpi=on,rtc=on,pit=on,pic=on",
		Kernel:  kernel,
		Initrd:  initrd,
		Append:  "console=ttyS0 quiet panic=-1" + tscWords(),
		Image:   size,
		Symbols: symbols,
	}, err
}

// buildInit builds the guest's only program, stripped, and returns the symbols
// of one that is not, whose code has the same addresses.
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

// debianKernel returns a folder with the unpacked kernel package, from the cache
// if it is there. Nothing is installed.
func debianKernel(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	depends, err := command(ctx, "", nil, "apt-cache", "depends", "linux-image-cloud-amd64")
	if err != nil {
		return "", errors.New("apt knows no linux-image-cloud-amd64: this needs Debian (and apt-get update)")
	}
	var name string
	for _, w := range strings.Fields(depends) {
		if strings.HasPrefix(w, "linux-image-") && strings.HasSuffix(w, "-cloud-amd64") {
			name = w
		}
	}
	if name == "" {
		return "", fmt.Errorf("linux-image-cloud-amd64 names no kernel package: %s", depends)
	}
	tree := filepath.Join(cache, "yolk-bench", name)
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	return tree, fetchPackage(ctx, name, tree)
}

// fetchPackage unpacks a Debian package into tree, which exists only once it is
// complete.
func fetchPackage(ctx context.Context, name, tree string) error {
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(tree), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// Root's apt gives up its privileges for a download, and could not write.
	if _, err := command(ctx, work, nil, "apt-get", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return err
	}
	deb, err := findOne(work, name+"_*.deb")
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "tree")
	if _, err := command(ctx, work, nil, "dpkg", "-x", deb, unpacked); err != nil {
		return err
	}
	return os.Rename(unpacked, tree)
}

// findOne returns the first file below dir whose name matches.
func findOne(dir, pattern string) (string, error) {
	var found string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ok, _ := filepath.Match(pattern, d.Name()); ok && d.Type().IsRegular() {
			found = path
			return filepath.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("no %s in %s", pattern, dir)
	}
	return found, err
}

func writeInitramfs(ctx context.Context, file, tree, initBinary string, modules []string) error {
	program, err := os.ReadFile(initBinary)
	if err != nil {
		return err
	}
	var a cpio
	a.directory("dev")
	a.device("dev/console", 0o600, 5, 1)
	a.directory("m")
	a.file("init", 0o755, program)
	l := loader{ctx: ctx, tree: tree, archive: &a}
	for _, m := range modules {
		if err := l.add(m); err != nil {
			return err
		}
	}
	a.file("m/order", 0o644, []byte(strings.Join(l.order, "\n")+"\n"))
	return os.WriteFile(file, a.bytes(), 0o600)
}

// loader puts modules into an archive, each after those it depends on.
type loader struct {
	ctx     context.Context
	tree    string
	archive *cpio
	order   []string
}

func (l *loader) add(name string) error {
	if slices.Contains(l.order, name+".ko") {
		return nil
	}
	if builtin, err := l.builtin(name); builtin || err != nil {
		return err
	}
	code, err := module(l.ctx, l.tree, name)
	if err != nil {
		return err
	}
	needs, err := dependencies(code)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, n := range needs {
		if err := l.add(n); err != nil {
			return err
		}
	}
	l.order = append(l.order, name+".ko")
	l.archive.file("m/"+name+".ko", 0o644, code)
	return nil
}

// builtin tells whether the kernel itself contains the module.
func (l *loader) builtin(name string) (bool, error) {
	list, err := findOne(l.tree, "modules.builtin")
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(list)
	return strings.Contains(string(text), "/"+name+".ko\n"), err
}

// dependencies returns the names after "depends=" in a module's .modinfo
// section, whose entries end in NUL.
func dependencies(code []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// module returns a module's object file, decompressed: newer packages have
// NAME.ko.xz.
func module(ctx context.Context, tree, name string) ([]byte, error) {
	path, err := findOne(tree, name+".ko*")
	if err != nil {
		return nil, err
	}
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if tool == "" {
		return os.ReadFile(path)
	}
	return output(ctx, "", nil, tool, "-dkc", path)
}
