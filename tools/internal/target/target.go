// Package target turns a user's target (a package, a program of a published module, or an ELF file)
// into a yolk image: it runs the patched go command and explains what to do when a program does
// not build. Start with [Builder.Image].
package target

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

// Builder has the settings of every build.
type Builder struct {
	// Toolchain returns the patched distribution for the Go release that the module in dir
	// asks for, and the distribution's build cache.
	Toolchain func(ctx context.Context, dir string) (goroot, gocache string, err error)
	// GOROOT and GOCACHE are the results of Toolchain; Prepare sets them.
	GOROOT, GOCACHE string
	// Cache is where images are kept between runs: linking is skipped if nothing has changed.
	Cache string
	// Stderr takes progress and compiler errors.
	Stderr io.Writer
	// Flags are go build flags.
	Flags []string
	// Tags are additional build tags.
	Tags []string
}

// Kind is the kind of a target.
type Kind int

const (
	Package Kind = iota // a folder, import path or .go file of the current module
	Module              // PATH@VERSION
	ELF                 // a file that is already built
)

// Target is a parsed target.
type Target struct {
	Kind Kind
	Text string // as the user wrote it
	Name string // the program's name, argv[0]
	Dir  string // where to build a Package, or ""
	Arg  string // argument for the go command
}

// Parse decides what s is. It only looks at the file system.
func Parse(s string) (Target, error) {
	t := Target{Text: s, Arg: s}
	st, err := os.Stat(s)
	switch {
	case err == nil && st.IsDir():
		abs, err := filepath.Abs(s)
		if err != nil {
			return t, err
		}
		t.Dir, t.Arg, t.Name = abs, ".", filepath.Base(abs)
	case err == nil && strings.HasSuffix(s, ".go"):
		t.Name = strings.TrimSuffix(filepath.Base(s), ".go")
	case err == nil:
		t.Kind, t.Name = ELF, strings.TrimSuffix(filepath.Base(s), ".elf")
	case isPath(s):
		return t, fmt.Errorf("%s: no such file or directory", s)
	case strings.Contains(s, "@"):
		t.Kind = Module
		pkg, version, _ := strings.Cut(s, "@")
		if pkg == "" || version == "" {
			return t, fmt.Errorf("%s: want MODULE/PACKAGE@VERSION, as in example.com/app/cmd/app@latest", s)
		}
		t.Name = commandName(pkg)
	default:
		t.Name = commandName(s)
	}
	return t, nil
}

// isPath reports whether s can only be a file name.
func isPath(s string) bool {
	return s == "" || filepath.IsAbs(s) || s == "." || s == ".." ||
		strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") ||
		strings.HasSuffix(s, ".elf") || strings.HasSuffix(s, ".go")
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// commandName follows the go command's rule: the last element of the import path, or the one before
// a major version.
func commandName(pkg string) string {
	name := path.Base(pkg)
	if dir := path.Dir(pkg); majorVersion.MatchString(name) && dir != "." {
		name = path.Base(dir)
	}
	return name
}

// Prepare makes the toolchain for the module in dir, "" for the current folder, unless it exists.
// Image and BuildTo call it; Go needs it.
func (b *Builder) Prepare(ctx context.Context, dir string) (err error) {
	if b.Toolchain != nil {
		b.GOROOT, b.GOCACHE, err = b.Toolchain(ctx, dir)
	}
	return err
}

// Image returns the target as an image in the cache, or the ELF file itself.
func (b *Builder) Image(ctx context.Context, t Target) (*elfcheck.Image, error) {
	switch t.Kind {
	case ELF:
		return elfcheck.Check(t.Text)
	case Module:
		return b.module(ctx, t)
	}
	if err := b.Prepare(ctx, t.Dir); err != nil {
		return nil, err
	}
	dir, unlock, err := b.imageDir(t)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return b.build(ctx, t, filepath.Join(dir, t.Name))
}

// imageDir returns the target's folder in the cache, locked.
func (b *Builder) imageDir(t Target) (dir string, unlock func(), err error) {
	sum := sha256.Sum256([]byte(strings.Join(append(append([]string{b.GOROOT, t.Dir, cwd(), t.Arg}, b.Tags...), b.Flags...), "\x00")))
	dir = filepath.Join(b.Cache, fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	b.removeOld(dir)
	unlock, err = lock(filepath.Join(dir, "lock"))
	return dir, unlock, err
}

// BuildTo builds the target as the file out.
func (b *Builder) BuildTo(ctx context.Context, t Target, out string) (*elfcheck.Image, error) {
	switch t.Kind {
	case ELF:
		return nil, fmt.Errorf("%s is a file that is already built; name a package", t.Text)
	case Package:
		abs, err := filepath.Abs(out)
		if err != nil {
			return nil, err
		}
		if err := b.Prepare(ctx, t.Dir); err != nil {
			return nil, err
		}
		return b.build(ctx, t, abs)
	}
	im, err := b.Image(ctx, t)
	if err != nil {
		return nil, err
	}
	return im, copyFile(im.Path, out)
}

// build runs go build.
func (b *Builder) build(ctx context.Context, t Target, out string) (*elfcheck.Image, error) {
	flags, err := b.buildFlags(ctx, t.Dir)
	if err != nil {
		return nil, err
	}
	cmd := b.Go(ctx, append(append([]string{"build", "-v"}, flags...), "-o", out, t.Arg)...)
	cmd.Dir = t.Dir
	if err := b.run(ctx, cmd, t, append(flags, t.Arg)); err != nil {
		return nil, err
	}
	im, err := elfcheck.Check(out)
	if err != nil {
		os.Remove(out)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not a program: name a package main", t.Text)
		}
		return nil, fmt.Errorf("%s: %w", t.Text, err)
	}
	return im, nil
}

// Go returns a go command of the patched distribution, set up to build images.
func (b *Builder) Go(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.GOROOT, "bin", "go"), args...)
	cmd.Env = append(Environ(os.Environ(), b.GOROOT, b.GOCACHE), "GOOS=tamago", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Environ returns env with the patched toolchain in place of another one.
func Environ(env []string, goroot, gocache string) []string {
	var out []string
	pathList := os.Getenv("PATH")
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH":
			pathList = value
		case "GOROOT", "GOTOOLCHAIN", "GOCACHE", "GOOS", "GOARCH", "CGO_ENABLED", "GOBIN":
		default:
			out = append(out, kv)
		}
	}
	return append(out, "PATH="+filepath.Join(goroot, "bin")+string(os.PathListSeparator)+pathList,
		"GOTOOLCHAIN=local", "GOROOT="+goroot, "GOCACHE="+gocache)
}

// run runs a go command, which has -v, with one line of progress, and explains its failure. list are the
// arguments with which go list names the packages, if it can.
func (b *Builder) run(ctx context.Context, cmd *exec.Cmd, t Target, list []string) error {
	p := &progress{step: ui.Begin(b.Stderr, "compiling "+t.Text)}
	cmd.Stdout, cmd.Stderr = p, p
	counting, stop := context.WithCancel(ctx)
	if list != nil {
		go b.count(counting, p, t.Dir, list)
	}
	err := cmd.Run()
	stop()
	p.step.End()
	if ctx.Err() != nil {
		return fmt.Errorf("building %s: interrupted", t.Text)
	}
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("running %s: %w", cmd.Path, err)
	}
	return b.explain(ctx, cmd.Dir, t, p.output())
}

// keepImages is how long an unused image stays in the cache.
const keepImages = 7 * 24 * time.Hour

// removeOld removes images that were not used for a week, except that in dir.
func (b *Builder) removeOld(dir string) {
	now := time.Now()
	os.Chtimes(dir, now, now)
	all, _ := os.ReadDir(b.Cache)
	for _, d := range all {
		if info, err := d.Info(); err == nil && now.Sub(info.ModTime()) > keepImages {
			os.RemoveAll(filepath.Join(b.Cache, d.Name()))
		}
	}
}

// lock serialises builds of one image, flock(2).
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func cwd() string {
	dir, _ := os.Getwd()
	return dir
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}
