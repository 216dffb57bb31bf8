// Command bench measures yolk beside a Debian cloud-kernel guest that runs the
// same program, on the same VMM (QEMU's microvm machine) and accelerator (TCG;
// KVM is never used), interleaved, and prints medians, spread and the ratio.
// docs/benchmarks.md explains every row.
//
//	go run ./tools/bench [-disk] [-runs 5] [-quick] [-only yolk|linux] [-instructions] [-before DIR]
//		[-json FILE]
//
// It needs root for a network namespace of its own with a tap device in it, and the programs
// qemu-system-x86_64, ip, gcc, wrk, apt-get and dpkg. It changes nothing outside its namespace, a
// temporary folder and the user's cache.
//
// Start reading at run. There is one file each for the machine (vm.go), the guests (linux.go,
// yolk.go), and the measurements (boot.go, instructions.go, load.go, disk.go).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the flags.
type options struct {
	runs  int
	quick bool
	only  string
	json  string
	disk  bool
	// counts leaves out whatever a busy host changes.
	counts bool
	// before is another checkout of yolk, which is measured too.
	before string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 5, "how often each system is measured")
	flag.BoolVar(&o.quick, "quick", false, "two short runs, no search for the smallest RAM")
	flag.StringVar(&o.only, "only", "", "measure one system: yolk or linux")
	flag.StringVar(&o.before, "before", "", "measure the yolk of another checkout, in `folder`, too: what a change costs")
	flag.BoolVar(&o.disk, "disk", false, "measure the disk instead of boot, requests and streams")
	flag.BoolVar(&o.counts, "instructions", false, "count instructions and measure sizes only, which a busy host hardly changes")
	flag.StringVar(&o.json, "json", "", "also write the results to this `file`")
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, &o)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitCode()) // the process in the namespace has printed the reason
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	if o.quick {
		o.runs = min(o.runs, 2)
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; bench -h lists the flags", flag.Arg(0))
	case o.runs < 1:
		return errors.New("-runs must be at least 1")
	case o.disk && o.counts:
		return errors.New("-disk measures no instructions; leave -instructions out")
	case o.only != "" && o.only != "yolk" && o.only != "linux":
		return fmt.Errorf("-only %s: it is yolk or linux", o.only)
	}
	return nil
}

// run builds the guests and then runs this command again in a network namespace of its own, without
// a connection to the outside, where it measures.
func run(ctx context.Context, o *options) error {
	if dir := namespaceDir(); dir != "" {
		return measure(ctx, o, dir)
	}
	if o.disk {
		return runDisk(ctx, o)
	}
	if err := errors.Join(missing()...); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "yolk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	systems, err := prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	b, err := json.Marshal(systems)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, systemsFile), b, 0o600); err != nil {
		return err
	}
	return reenter(ctx, dir)
}

// systemsFile passes the guests to the process that measures.
const systemsFile = "systems.json"

// measure measures everything, inside the namespace.
func measure(ctx context.Context, o *options, dir string) error {
	b := &bench{options: o, dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, systemsFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &b.systems); err != nil {
		return err
	}
	if err := makeTap(ctx); err != nil {
		return err
	}
	if b.plugin, b.empty, err = buildNative(ctx, dir); err != nil {
		return err
	}
	b.report = newReport(b.systems)
	b.measure(ctx)
	b.report.print(os.Stdout)
	if o.json != "" {
		return b.report.writeJSON(o.json)
	}
	return ctx.Err()
}

// bench is one run of this command.
type bench struct {
	*options
	dir     string
	plugin  string // path of the instruction counter, a shared object
	empty   string // path of a guest that ends at once
	systems []*system
	report  *report
}

func (b *bench) measure(ctx context.Context) {
	for _, step := range []struct {
		name  string
		count bool // not of time
		do    func(context.Context)
	}{
		{"image size", true, b.imageSize},
		{"boot", false, b.boot},
		{"instructions", true, b.instructions},
		{"requests", false, b.requests},
		{"streams", false, b.streams},
		{"idle", false, b.idle},
		{"smallest RAM", false, b.smallestRAM},
	} {
		if ctx.Err() != nil {
			return
		}
		if b.counts && !step.count {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", step.name)
		step.do(ctx)
	}
}

// prepare builds the guests.
func prepare(ctx context.Context, o *options, dir string) ([]*system, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	return o.buildAll(ctx, root, dir, buildYolk, buildLinux)
}

// builder builds a guest of the checkout in root, in the folder dir.
type builder func(ctx context.Context, root, dir string) (*system, error)

// buildAll builds the requested systems, each in a folder of its own, in the order in which they take
// turns.
func (o *options) buildAll(ctx context.Context, root, dir string, yolk, linux builder) ([]*system, error) {
	var systems []*system
	for _, s := range []struct {
		name, root string
		build      builder
	}{{"before", o.before, yolk}, {"yolk", root, yolk}, {"linux", root, linux}} {
		if s.root == "" || o.only != "" && o.only != s.name && s.name != "before" {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench: building the", s.name, "guest")
		folder := filepath.Join(dir, s.name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, err
		}
		sys, err := s.build(ctx, s.root, folder)
		if err != nil {
			return nil, fmt.Errorf("the %s guest: %w", s.name, err)
		}
		sys.Name = s.name
		systems = append(systems, sys)
	}
	return systems, nil
}
