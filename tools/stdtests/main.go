// Command stdtests runs the tests of Go's standard library, unmodified, in VMs
// and compares each top-level test with the same test on Linux.
//
//	go run ./tools/stdtests [-smp N] [-jobs N] [-sample] [-disk] [-resume] [-json FILE] [-test REGEXP] [PACKAGE...]
//
// Without packages it runs all that have tests (GOROOT/src without cmd); net/... means net and
// all packages below it. Each is built with the patched go command, as by go test -c, and booted
// in a VM of its own with -test.short; its folder has the same path as on the host and is the
// working directory. Tests that start a process (needs-processes.txt) are skipped on both sides.
// The results of Linux are cached per Go version.
//
// It exits with 1 if a test differs without an explanation in differences.txt, or if a package
// crashes or hangs. docs/stdtests.md has the results.
//
// Start reading at run. There is one file each for the list of packages (packages.go), Linux
// (native.go), the VM (guest.go), a test binary's output (output.go) and the report (report.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

// options are the flags.
type options struct {
	cpus    int
	jobs    int
	sample  bool
	disk    bool
	json    string
	test    string
	timeout time.Duration
	resume  bool
}

// kind is the folder for results of VMs with the same options.
func (o *options) kind() string {
	s := fmt.Sprintf("smp%d", o.cpus)
	if o.disk {
		s += "-disk"
	}
	return s
}

func main() {
	var o options
	flag.IntVar(&o.cpus, "smp", 1, "CPUs of each VM")
	flag.IntVar(&o.jobs, "jobs", 1, "VMs at a time")
	flag.BoolVar(&o.sample, "sample", false, "run the sample of packages that continuous integration runs")
	flag.BoolVar(&o.disk, "disk", false, "give the tests an ext4 disk for their temporary files (TMPDIR)")
	flag.StringVar(&o.json, "json", "", "also write the results to this `file`")
	flag.StringVar(&o.test, "test", "", "run only tests that match this `regexp` (-test.run)")
	flag.DurationVar(&o.timeout, "timeout", 15*time.Minute, "bound on one package")
	flag.BoolVar(&o.resume, "resume", false, "keep the results of earlier runs, made with the same -smp and -disk")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, &o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "stdtests:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// run tests the packages and reports whether every difference is explained.
func run(ctx context.Context, o *options, patterns []string) (bool, error) {
	if o.cpus < 1 || o.jobs < 1 {
		return false, errors.New("-smp and -jobs want a number from 1")
	}
	if _, err := qemu.Find(); err != nil {
		return false, err
	}
	h, err := newHost(ctx)
	if err != nil {
		return false, err
	}
	pkgs, err := h.packages(ctx, o, patterns)
	if err != nil {
		return false, err
	}
	rows, err := h.runAll(ctx, o, pkgs)
	if err != nil {
		return false, err
	}
	known := knownDifferences()
	for i := range rows {
		rows[i].explain(known)
	}
	if o.json != "" {
		if err := save(o.json, rows); err != nil {
			return false, err
		}
	}
	return report(os.Stdout, rows, known), nil
}

// host has the paths with which tests are built and compared.
type host struct {
	stock   string // the user's GOROOT
	version string // its release
	patched string // GOROOT for tamago programs
	gocache string // build cache of patched
	dir     string // folder of Linux's results and the tests' output
}

func newHost(ctx context.Context) (*host, error) {
	patched, err := toolchain.Ensure(ctx, toolchain.Options{Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	gocache, err := toolchain.GoCache(patched)
	if err != nil {
		return nil, err
	}
	cache, err := toolchain.CacheDir()
	if err != nil {
		return nil, err
	}
	h := &host{patched: patched, gocache: gocache, dir: filepath.Join(cache, "stdtests")}
	if h.stock, err = goOutput(ctx, "env", "GOROOT"); err != nil {
		return nil, err
	}
	if h.version, err = goOutput(ctx, "env", "GOVERSION"); err != nil {
		return nil, err
	}
	return h, os.MkdirAll(h.dir, 0o755)
}

// runAll runs each package on Linux, if its result is not cached, and in a VM.
func (h *host) runAll(ctx context.Context, o *options, pkgs []string) ([]row, error) {
	rows := make([]row, len(pkgs))
	next := make(chan int)
	failed := make(chan error, o.jobs)
	for range o.jobs {
		go func() {
			var err error
			for i := range next {
				if err == nil {
					rows[i], err = h.one(ctx, o, pkgs[i])
				}
			}
			failed <- err
		}()
	}
	for _, i := range longestFirst(pkgs) {
		next <- i
	}
	close(next)
	var errs []error
	for range o.jobs {
		errs = append(errs, <-failed)
	}
	return rows, errors.Join(errs...)
}

// longestFirst returns the indexes of packages, the slowest first: shorter ones then fill the gaps.
func longestFirst(pkgs []string) []int {
	order := make([]int, 0, len(pkgs))
	for i, p := range pkgs {
		if slices.Contains(slow, p) {
			order = append(order, i)
		}
	}
	for i, p := range pkgs {
		if !slices.Contains(slow, p) {
			order = append(order, i)
		}
	}
	return order
}

// one runs one package. An error is the host's; failures of the package are in the row.
func (h *host) one(ctx context.Context, o *options, pkg string) (row, error) {
	r := row{Package: pkg}
	var err error
	if !o.sample {
		if r.Linux, err = h.native(ctx, pkg); err != nil {
			return r, err
		}
	}
	saved := filepath.Join(h.dir, o.kind(), flat(pkg)+".json")
	if o.resume && load(saved, &r.VM) == nil {
		if o.sample {
			r.Linux, err = h.doubtful(ctx, pkg, r.VM)
		}
		return r, err
	}
	if r.VM, err = h.guest(ctx, o, pkg); err != nil {
		return r, err
	}
	if o.test == "" {
		if err := save(saved, &r.VM); err != nil {
			return r, err
		}
	}
	if o.sample {
		if r.Linux, err = h.doubtful(ctx, pkg, r.VM); err != nil {
			return r, err
		}
	}
	if o.test != "" {
		r.Linux.keep(r.VM)
	}
	progress(os.Stderr, &r)
	return r, nil
}
