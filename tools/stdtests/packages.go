package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// sample are the packages for continuous integration: those nearest to the system, and some that
// compute. Each takes less than a minute in emulation.
var sample = []string{
	"bufio", "bytes", "context", "crypto/tls", "encoding/json", "fmt", "internal/poll",
	"internal/syscall/unix", "io", "io/fs", "log/slog", "net", "net/http", "net/netip",
	"os", "os/signal", "os/user", "path/filepath", "reflect", "runtime", "runtime/debug", "runtime/pprof",
	"runtime/trace", "sort", "strconv", "strings", "sync", "sync/atomic", "syscall", "testing/synctest", "time",
}

// slow are packages that take minutes, the slowest first.
var slow = []string{"runtime", "runtime/pprof", "net/http", "time", "crypto/tls", "os", "internal/poll"}

// withTests lists import paths of packages that have tests.
const withTests = "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"

// packages returns the packages to run, in the order of the patterns.
func (h *host) packages(ctx context.Context, o *options, patterns []string) ([]string, error) {
	out, err := goOutput(ctx, "list", "-f", withTests, "std")
	if err != nil {
		return nil, err
	}
	all := strings.Fields(out)
	switch {
	case o.sample && len(patterns) > 0:
		return nil, fmt.Errorf("-sample and packages exclude each other")
	case o.sample:
		patterns = sample
	case len(patterns) == 0:
		return all, nil
	}
	return match(all, patterns)
}

// match selects packages: a pattern is an import path, or one with /... for all packages below it
// as well.
func match(all, patterns []string) ([]string, error) {
	var list []string
	for _, p := range patterns {
		root, below := strings.CutSuffix(p, "/...")
		n := len(list)
		for _, pkg := range all {
			if pkg == root || below && strings.HasPrefix(pkg, root+"/") {
				list = append(list, pkg)
			}
		}
		if len(list) == n {
			return nil, fmt.Errorf("%s: no package of the standard library with tests", p)
		}
	}
	return list, nil
}

// goOutput runs the stock go command, away from any go.mod.
func goOutput(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build makes a package's test binary in dir with the go command of goroot. It does not run vet,
// which for the standard library is stricter with assembly than the port's satisfies.
func build(ctx context.Context, goroot, gocache, goos, pkg, dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_")+".test")
	args := append([]string{"test", "-c", "-vet=off", "-o", bin}, flags...)
	cmd := exec.CommandContext(ctx, filepath.Join(goroot, "bin", "go"), append(args, ".")...)
	cmd.Dir = filepath.Join(goroot, "src", pkg)
	cmd.Env = append(os.Environ(), "GOROOT=", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOOS="+goos, "GOARCH=amd64", "GOFLAGS=", "PWD="+cmd.Dir)
	if gocache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+gocache)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go test -c %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

//go:embed needs-processes.txt
var needsProcesses string

// skipped returns a regular expression that matches the tests of a package that start processes,
// or "".
func skipped(pkg string) string {
	var names []string
	for line := range strings.Lines(needsProcesses) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == pkg {
			names = append(names, "^"+regexp.QuoteMeta(f[1])+"$")
		}
	}
	return strings.Join(names, "|")
}

// testArgs are the arguments of a test binary. The value test2json marks the lines of the testing
// package, so that the output of tests is not taken for them.
func testArgs(pkg, bound string) []string {
	args := []string{"-test.short", "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + bound}
	if s := skipped(pkg); s != "" {
		args = append(args, "-test.skip="+s)
	}
	return args
}

//go:embed files.txt
var neededFiles string

// files returns the files of GOROOT that a package's tests read: its own folder, and those in
// files.txt.
func files(pkg string) []string {
	list := []string{"src/" + pkg}
	for line := range strings.Lines(neededFiles) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if ok, _ := filepath.Match(f[0], pkg); ok || f[0] == "..." {
			list = append(list, f[1:]...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
