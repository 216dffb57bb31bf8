// Package debian makes guests of Debian's cloud kernel, to compare with: the packaged kernel, and
// an initramfs of one program, /init, and the modules that it needs. Package boot is what such a
// program does first. Start with [Find].
package debian

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// DiskModules are the modules for an ext4 disk on microvm.
var DiskModules = []string{"virtio_mmio", "virtio_blk", "ext4"}

// Kernel is an unpacked kernel package.
type Kernel struct {
	Image string // the file to boot
	tree  string
}

// Find returns the newest kernel that apt offers, from the cache if it is there. It installs
// nothing.
func Find(ctx context.Context) (Kernel, error) {
	tree, err := find(ctx)
	if err != nil {
		return Kernel{}, err
	}
	image, err := findOne(tree, "vmlinuz-*")
	return Kernel{image, tree}, err
}

// find returns the folder of the package.
func find(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	depends, err := command(ctx, "", "apt-cache", "depends", "linux-image-cloud-amd64")
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

// fetchPackage unpacks a Debian package into tree, which does not exist until it is complete.
func fetchPackage(ctx context.Context, name, tree string) error {
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(tree), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// As root, apt would drop its privileges for a download, and could not write here.
	if _, err := command(ctx, work, "apt-get", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return err
	}
	deb, err := findOne(work, name+"_*.deb")
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "tree")
	if _, err := command(ctx, work, "dpkg", "-x", deb, unpacked); err != nil {
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

// WriteInitramfs makes the file of a guest: its program and modules with all their dependencies,
// in the order of /m/order.
func (k Kernel) WriteInitramfs(ctx context.Context, file, initBinary string, modules []string) error {
	program, err := os.ReadFile(initBinary)
	if err != nil {
		return err
	}
	var a cpio
	a.directory("dev")
	a.device("dev/console", 0o600, 5, 1)
	a.directory("m")
	a.file("init", 0o755, program)
	l := loader{ctx: ctx, tree: k.tree, archive: &a}
	for _, m := range modules {
		if err := l.add(m); err != nil {
			return err
		}
	}
	a.file("m/order", 0o644, []byte(strings.Join(l.order, "\n")+"\n"))
	return os.WriteFile(file, a.bytes(), 0o600)
}

// loader adds modules to an archive, each after those it depends on.
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

// builtin reports whether the kernel itself contains the module.
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

// module returns a module's object file, decompressed: newer packages have NAME.ko.xz.
func module(ctx context.Context, tree, name string) ([]byte, error) {
	path, err := findOne(tree, name+".ko*")
	if err != nil {
		return nil, err
	}
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if tool == "" {
		return os.ReadFile(path)
	}
	return output(ctx, "", tool, "-dkc", path)
}

// command runs a program and returns its output, trimmed; an error includes the end of its
// output.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	out, err := output(ctx, dir, name, args...)
	return strings.TrimSpace(string(out)), err
}

func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.Bytes(), nil
}
