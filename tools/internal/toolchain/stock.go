package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	goversion "go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk"
)

// Select returns the stock distribution that the go command would use for the
// module in dir, and its version, such as go1.26.8: what its go.mod or go.work
// asks for, as far as GOTOOLCHAIN allows (https://go.dev/doc/toolchain). dir ""
// is the current folder. The go command may download the distribution, of which
// progress gets a line. The error wraps [ErrUnsupported] if the port does not
// apply to it.
func Select(ctx context.Context, dir string, progress io.Writer) (goroot, version string, err error) {
	here := &downloads{}
	goroot, err = askStock(ctx, dir, here, "GOPROXY=off")
	if err != nil && here.version != "" {
		// Is the download, of 70 MB, worth it?
		if _, err := releaseOf(here.version); err != nil {
			return "", "", err
		}
		goroot, err = askStock(ctx, dir, &downloads{to: progress})
	}
	if err != nil {
		return "", "", err
	}
	return readStock(goroot)
}

// askStock asks the go command for the GOROOT that it would use in dir.
func askStock(ctx context.Context, dir string, errs *downloads, env ...string) (goroot string, err error) {
	cmd, err := stockGo(ctx, "env", "GOROOT")
	if err != nil {
		return "", err
	}
	cmd.Dir, cmd.Stderr = dir, errs
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the go command cannot use the Go release that the module asks for (%w): %s",
			err, strings.TrimSpace(errs.text.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// stockGo returns a command of the go command in PATH. If that is a patched one, because of yolk env,
// it returns the stock one that it was made from, without the GOTOOLCHAIN and GOROOT of that
// environment.
func stockGo(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("no go command in PATH (%w): install %s and put its bin in PATH", err, Supported())
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	stock, patched := stockOf(filepath.Dir(filepath.Dir(path)))
	if !patched {
		return exec.CommandContext(ctx, path, args...), nil
	}
	cmd := exec.CommandContext(ctx, filepath.Join(stock, "bin/go"), args...)
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name != "GOTOOLCHAIN" && name != "GOROOT" {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd, nil
}

// stockOf returns the stock GOROOT of the distribution in goroot, if yolk made it.
func stockOf(goroot string) (stock string, patched bool) {
	text, err := os.ReadFile(filepath.Join(goroot, doneFile))
	return strings.TrimSpace(string(text)), err == nil
}

// readStock returns the stock GOROOT behind goroot, which may be patched, and
// its version.
func readStock(goroot string) (dir, version string, err error) {
	if stock, patched := stockOf(goroot); patched {
		goroot = stock
	}
	text, err := os.ReadFile(filepath.Join(goroot, "VERSION"))
	if err != nil {
		return "", "", fmt.Errorf("%s is no Go distribution (%w): set GOROOT to one", goroot, err)
	}
	version, _, _ = strings.Cut(string(text), "\n")
	if _, err := releaseOf(version); err != nil {
		return "", "", err
	}
	return goroot, version, nil
}

// downloads stores the go command's output, and passes on that it downloads.
type downloads struct {
	to      io.Writer
	text    bytes.Buffer
	version string // what it downloads, such as go1.27.1
}

func (d *downloads) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) { // each is written at once
		rest, found := bytes.CutPrefix(line, []byte("go: downloading go"))
		if !found {
			d.text.Write(line)
			continue
		}
		version, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
		d.version = "go" + string(version)
		if d.to != nil {
			d.to.Write(line)
		}
	}
	return len(p), nil
}

// listGo returns a command of a go command that can list this module: the stock one or, if that is an
// older patch release than the module's libraries require, the one in PATH, which switches to
// another toolchain if need be. Both list the same source.
func (b *builder) listGo(args ...string) (*exec.Cmd, error) {
	need, err := moduleGo()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.stock, "bin/go"), args...)
	env := []string{"GOFLAGS=-mod=readonly", "GOROOT=" + b.stock}
	if goversion.Compare(b.version, need) < 0 {
		if cmd, err = stockGo(b.ctx, args...); err != nil {
			return nil, err
		}
		env = []string{"GOFLAGS=-mod=readonly", "GOTOOLCHAIN=auto"}
	}
	cmd.Dir, cmd.Env = b.source, hostEnv(env...)
	return cmd, nil
}

// moduleGo returns the Go version in this module's go.mod, such as go1.26.3.
func moduleGo() (string, error) {
	text, err := yolk.Source.ReadFile("go.mod")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			return "go" + strings.TrimSpace(v), nil
		}
	}
	return "", errors.New("go.mod has no go line")
}
