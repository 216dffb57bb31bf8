// Command suites runs the test suites of network libraries, unmodified, in VMs and on Linux, and
// compares each test and subtest by its name.
//
//	go run ./tools/suites [-run REGEXP] [-smp N] [-v]
//
// suites.txt lists the modules with their versions and packages. On Linux a suite runs as root in a
// network namespace of its own with the loopback interface up. A test whose outcome differs has to be
// in differences.txt with its cause; the exit status is 1 if one is not. docs/suites.md has the results.
//
// Start reading at run; compare.go reads what go test prints.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed suites.txt
var suitesText string

// timeout bounds one package's tests, on either side.
const timeout = "15m"

// patience makes those of quic-go's limits of time longer that know it: emulation is slow.
const patience = "TIMESCALE_FACTOR=10"

// suite is a line of suites.txt.
type suite struct {
	module   string // MODULE@VERSION
	packages []string
}

func parseSuites(text string) (list []suite) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			list = append(list, suite{f[0], f[1:]})
		}
	}
	return list
}

func main() {
	pick := flag.String("run", "", "run only the packages that the regular `expression` matches")
	cpus := flag.Int("smp", 2, "CPUs of each VM")
	verbose := flag.Bool("v", false, "print all differences, also those that are explained, with the tests' output")
	flag.Parse()
	match, err := regexp.Compile(*pick)
	if err == nil {
		err = run(match, *cpus, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func run(match *regexp.Regexp, cpus int, verbose bool) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("network namespaces and raw sockets need root")
	}
	dir, err := os.MkdirTemp("", "suites")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	yolk := filepath.Join(dir, "yolk")
	if out, err := exec.Command("go", "build", "-o", yolk, "./tools/yolk").CombinedOutput(); err != nil {
		return fmt.Errorf("building yolk: %v\n%s", err, out)
	}
	known, unexplained := parseDifferences(differencesText), 0
	for _, s := range parseSuites(suitesText) {
		path, err := moduleDir(s.module)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(s.module, "@")
		for _, p := range s.packages {
			if full := strings.TrimSuffix(name+strings.TrimPrefix(p, "."), "/"); match.MatchString(full) {
				linux, vm := runLinux(path, p), runVM(yolk, path, p, cpus)
				unexplained += report(full, linux, vm, known, verbose)
			}
		}
	}
	if unexplained > 0 {
		return fmt.Errorf("%d tests differ without an explanation in differences.txt", unexplained)
	}
	return nil
}

// moduleDir downloads a module and returns its folder.
func moduleDir(module string) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var m struct{ Dir, Error string }
	if e := json.Unmarshal(out, &m); e != nil || m.Dir == "" {
		return "", fmt.Errorf("%s: %v %s", module, err, m.Error)
	}
	return m.Dir, nil
}

var testFlags = []string{"-vet=off", "-json", "-short", "-count=1", "-timeout", timeout}

// runLinux runs the tests of a package in a network namespace. It builds them outside, where the
// modules that they import can be downloaded.
func runLinux(dir, pkg string) results {
	build := exec.Command("go", "test", "-vet=off", "-count=1", "-run", "^$", pkg)
	build.Dir = dir
	build.Run()
	words := strings.Join(append(append([]string{"go", "test"}, testFlags...), pkg), " ")
	c := exec.Command("unshare", "-n", "sh", "-c", "ip link set lo up && "+patience+" exec "+words)
	c.Dir = dir
	return parseResults(c)
}

func runVM(yolk, dir, pkg string, cpus int) results {
	args := append([]string{"test", "-accel", "tcg", "-smp", fmt.Sprint(cpus), "-m", "1G", "-e", patience}, testFlags...)
	c := exec.Command(yolk, append(args, pkg)...)
	c.Dir = dir
	return parseResults(c)
}
