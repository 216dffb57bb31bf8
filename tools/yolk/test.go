package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/target"
)

const testHelp = `Usage: yolk test [VM flags] [go test flags] [packages] [go test flags]

Runs go test with GOOS=tamago: each package's test binary boots in a VM of its
own. It finds the package's module at the same path as on the host, with the
package's folder as the working directory, and what it writes there stays.
Profiles and coverage go where go test puts them.

VM flags stand before the packages: -m, -smp, -machine, -accel, -net, -ip, -e,
-files, -hostname, -gdb, -qemu-arg, -disk, as for yolk run (-m is 512M unless given).
All others are go test's. Tests that start processes fail (there are none in a
VM), and -fuzz, which needs them, is refused; a target's seeds run without it.

Examples:
    yolk test ./...
    yolk test -m 1G -run TestParse -v ./parser
    yolk test -bench . -count 3 -cpuprofile cpu.out ./codec
    yolk test -json -coverprofile cover.out ./... | jq .Test
`

// testVMFlags are the VM flags that go test does not have.
var testVMFlags = names("m", "smp", "machine", "accel", "net", "ip", "e", "files", "hostname", "gdb", "qemu-arg", "disk")

// testValueFlags are the flags with a value that go test has and go build does not: go help test
// and go help testflag.
var testValueFlags = names(
	"exec", "o", "vet", "run", "skip", "list", "bench", "benchtime", "blockprofile", "blockprofilerate", "count",
	"coverprofile", "cpu", "cpuprofile", "fuzz", "fuzztime", "fuzzminimizetime", "memprofile", "memprofilerate",
	"mutexprofile", "mutexprofilefraction", "outputdir", "parallel", "shuffle", "timeout", "trace",
)

func names(list ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range list {
		m[n] = true
	}
	return m
}

// testArgs are the arguments of yolk test: the flags for the VM, those for go test, and the
// folder of -C.
type testArgs struct {
	vm, test []string
	packages int // index in test of the first package
	dir      string
	disk     bool // the VM has a disk
}

// errFuzz refuses -fuzz before anything is built.
var errFuzz = errors.New("-fuzz starts worker processes, and a VM has one: fuzz with go test -fuzz on the host; " +
	"yolk test runs a target's seeds")

// splitTestArgs separates the flags before the packages.
func splitTestArgs(args []string) (a testArgs, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" && args[0] != "-args" {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		name = strings.TrimPrefix(name, "test.")
		n := 1
		switch {
		case testVMFlags[name]:
			v := newVMFlags()
			if n, err = v.one(args); err != nil {
				return a, err
			}
			if name == "disk" {
				a.disk = true
				a.vm = append(a.vm, "-disk", absoluteDisk(v.disks[0]))
			} else {
				a.vm = append(a.vm, args[:n]...)
			}
		case name == "C":
			if !hasValue && len(args) < 2 {
				return a, errors.New("flag -C needs a folder")
			}
			if !hasValue {
				value, n = args[1], 2
			}
			a.dir = value
		case testValueFlags[name]:
			if !hasValue && len(args) > 1 {
				n = 2
			}
			a.test = append(a.test, args[:n]...)
		default:
			_, taken, _, err := target.CutFlag(args)
			if err != nil {
				return a, err
			}
			n = max(n, taken)
			a.test = append(a.test, args[:n]...)
		}
		args = args[n:]
	}
	a.packages = len(a.test)
	a.test = append(a.test, args...)
	if fuzzes(a.test) {
		return a, errFuzz
	}
	return a, nil
}

// fuzzes reports whether -fuzz is among the flags of go test, which may stand behind the packages, too.
func fuzzes(args []string) bool {
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		switch flag {
		case "-args", "--args":
			return false // what follows is the test's own
		case "-fuzz", "--fuzz", "-test.fuzz", "--test.fuzz":
			return true
		}
	}
	return false
}

// absoluteDisk is d with an absolute path, since the hook runs in the package's folder.
func absoluteDisk(d qemu.Disk) string {
	s := d.Host
	if d.Guest != "" {
		s += ":" + d.Guest
	}
	if d.ReadOnly {
		s += ":ro"
	}
	return s
}

func testCommand(ctx context.Context, args []string) int {
	a, err := splitTestArgs(args)
	if err != nil {
		return usage("test", "%v", err)
	}
	b, err := newBuilder(ctx, nil)
	if err == nil {
		err = b.Prepare(ctx, a.dir)
	}
	if err != nil {
		return fail("", err)
	}
	if a.disk {
		b.Tags = []string{diskTag}
	}
	tags, err := b.TagFlags(ctx, a.dir, a.test[:a.packages])
	if err != nil {
		return fail("", err)
	}
	cmd := b.Go(ctx, append([]string{"test"}, slices.Insert(a.test, a.packages, tags...)...)...)
	cmd.Dir = a.dir
	flags := os.Getenv("YOLK_RUN_FLAGS")
	for _, f := range a.vm {
		flags += " " + shellQuote(f)
	}
	cmd.Env = append(cmd.Env, "YOLK_RUN_FLAGS="+strings.TrimSpace(flags))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return exitOf(cmd.Run(), "test")
}

// testOutputs are the flags of a test binary that name an output: a file or, if true, a folder.
var testOutputs = map[string]bool{
	"testlogfile": false, "gocoverdir": true, "outputdir": true, "coverprofile": false, "cpuprofile": false,
	"memprofile": false, "blockprofile": false, "mutexprofile": false, "trace": false,
}

// hostFolders returns the folders of the host that a test binary sees at their own paths: the
// module of dir, or dir itself without one, the binary's folder, and those of its outputs.
func hostFolders(dir string, command, env []string) []string {
	folders := []string{moduleRoot(dir)}
	if filepath.IsAbs(command[0]) {
		folders = append(folders, filepath.Dir(command[0]))
	}
	for _, arg := range command[1:] {
		flag, ok := strings.CutPrefix(arg, "-test.")
		name, path, _ := strings.Cut(flag, "=")
		isDir, known := testOutputs[name]
		if !ok || !known || !filepath.IsAbs(path) {
			continue
		}
		if !isDir {
			path = filepath.Dir(path)
		}
		folders = append(folders, path)
	}
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "GOCOVERDIR="); ok && filepath.IsAbs(path) {
			folders = append(folders, path)
		}
	}
	return outermost(folders)
}

// moduleRoot returns the nearest folder with a go.mod at or above dir, or dir. It is never the root
// directory, on which nothing can be mounted.
func moduleRoot(dir string) string {
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, "go.mod")); err == nil && info.Mode().IsRegular() {
			return d
		}
	}
	return dir
}

// outermost returns the folders among the paths, except those inside another one and the root.
func outermost(paths []string) []string {
	var folders []string
	for _, p := range paths {
		p = filepath.Clean(p)
		if info, err := os.Stat(p); err == nil && info.IsDir() && p != "/" && !slices.Contains(folders, p) {
			folders = append(folders, p)
		}
	}
	return slices.DeleteFunc(slices.Clone(folders), func(f string) bool {
		return slices.ContainsFunc(folders, func(other string) bool { return strings.HasPrefix(f, other+"/") })
	})
}
