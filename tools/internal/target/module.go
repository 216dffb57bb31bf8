package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
)

// wantsGo matches the Go version that a module asks for, in the error of an older go command.
var wantsGo = regexp.MustCompile(`requires go >= (\S+) \(running go `)

// module installs a published program. Only a go command that tries it finds out which Go its
// module asks for, so a second one may be needed.
func (b *Builder) module(ctx context.Context, t Target) (*elfcheck.Image, error) {
	outside, err := os.MkdirTemp("", "yolk-go-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(outside)
	im, err := b.installFor(ctx, t, outside)
	failed := (*BuildError)(nil)
	if !errors.As(err, &failed) || b.Toolchain == nil {
		return im, err
	}
	m := wantsGo.FindStringSubmatch(failed.Output)
	if m == nil {
		return im, err
	}
	// A module with this version makes the go command choose a toolchain as if for the program.
	if err := os.WriteFile(filepath.Join(outside, "go.mod"), []byte("module yolk\n\ngo "+m[1]+"\n"), 0o666); err != nil {
		return nil, err
	}
	return b.installFor(ctx, t, outside)
}

// installFor installs a published program with the toolchain for the folder dir.
func (b *Builder) installFor(ctx context.Context, t Target, dir string) (*elfcheck.Image, error) {
	if err := b.Prepare(ctx, dir); err != nil {
		return nil, err
	}
	gopath, unlock, err := b.imageDir(t)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return b.install(ctx, t, gopath)
}

// install runs go install PKG@VERSION, which uses only the module's own go.mod and go.sum. When it
// cross-compiles, the go command refuses GOBIN and installs below GOPATH, so GOPATH is a private
// folder, while modules stay in the user's module cache.
func (b *Builder) install(ctx context.Context, t Target, gopath string) (*elfcheck.Image, error) {
	modcache, err := b.modCache(ctx)
	if err != nil {
		return nil, err
	}
	flags, err := b.buildFlags(ctx, gopath)
	if err != nil {
		return nil, err
	}
	cmd := b.Go(ctx, append(append([]string{"install", "-v"}, flags...), t.Arg)...)
	cmd.Env = append(cmd.Env, "GOPATH="+gopath, "GOMODCACHE="+modcache, "GOBIN=", "GO111MODULE=on")
	cmd.Dir = gopath // outside of the user's modules
	if err := b.run(ctx, cmd, t, nil); err != nil {
		return nil, err
	}
	return elfcheck.Check(filepath.Join(gopath, "bin", "tamago_amd64", t.Name))
}

func (b *Builder) modCache(ctx context.Context) (string, error) {
	out, err := b.Go(ctx, "env", "GOMODCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
