package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// native returns the outcome of a package's tests on Linux, on this host, with the stock go
// command in the stock GOROOT.
func (h *host) native(ctx context.Context, pkg string) (outcome, error) {
	var o outcome
	cached := h.nativeFile(pkg)
	if load(cached, &o) == nil {
		return o, nil
	}
	o, err := h.runNative(ctx, pkg)
	if err != nil {
		return o, err
	}
	return o, save(cached, &o)
}

// load reads a JSON file.
func load(name string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// save writes a JSON file and makes its folder.
func save(name string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// nativeFile names the cached result; the tests skipped are part of its key.
func (h *host) nativeFile(pkg string) string {
	key := sha256.Sum256([]byte(strings.Join(testArgs(pkg, ""), " ")))
	return filepath.Join(h.dir, h.version, fmt.Sprintf("%s-%x.json", flat(pkg), key[:4]))
}

// flat makes an import path a file name.
func flat(pkg string) string { return strings.ReplaceAll(pkg, "/", "_") }

// nativeBound is much longer than any package takes on Linux.
const nativeBound = 10 * time.Minute

// doubtful returns the outcome on Linux of a package whose outcome in the VM is known. It runs only
// the tests that do not pass in the VM, and assumes that the others pass on Linux as well. A
// package that did not run to its end is run whole.
func (h *host) doubtful(ctx context.Context, pkg string, vm outcome) (outcome, error) {
	var o outcome
	if vm.End != "" || load(h.nativeFile(pkg), &o) == nil {
		return h.native(ctx, pkg)
	}
	var names []string
	all := outcome{Tests: map[string]string{}}
	for name, result := range vm.Tests {
		if all.Tests[name] = result; result != "pass" {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	slices.Sort(names)
	o, err := h.runNative(ctx, pkg, "-test.run=^("+strings.Join(names, "|")+")$")
	for name, result := range o.Tests {
		all.Tests[name] = result
	}
	return all, err
}

func (h *host) runNative(ctx context.Context, pkg string, more ...string) (outcome, error) {
	dir, err := os.MkdirTemp("", "stdtests-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	bin, err := build(ctx, h.stock, "", "linux", pkg, dir)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, nativeBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(testArgs(pkg, nativeBound.String()), more...)...)
	cmd.Dir = filepath.Join(h.stock, "src", pkg)
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return outcome{}, fmt.Errorf("the tests of %s on Linux: %w", pkg, err)
	}
	o := parse(out.Bytes())
	o.Seconds = time.Since(start).Seconds()
	return o, nil
}
