package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

//go:embed differences.txt
var differencesText string

// results are the outcomes of a package's tests.
type results struct {
	outcome map[string]string // "pass", "fail" or "skip" by the test's name
	output  map[string]string
}

// event is what test2json prints (go doc test2json).
type event struct{ Action, Test, Output string }

// seeds are parts of names that are drawn at random.
var seeds = regexp.MustCompile(`seed_[0-9]+`)

func parseResults(c *exec.Cmd) results {
	r := results{map[string]string{}, map[string]string{}}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		return r
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		var e event
		if json.Unmarshal(s.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		name := seeds.ReplaceAllString(e.Test, "seed")
		switch e.Action {
		case "pass", "fail", "skip":
			r.outcome[name] = e.Action
		case "output":
			r.output[name] += e.Output
		}
	}
	c.Wait() // its status says no more than the outcomes
	return r
}

func (r results) count(outcome string) (n int) {
	for _, o := range r.outcome {
		if o == outcome {
			n++
		}
	}
	return n
}

func (r results) String() string {
	return fmt.Sprintf("%d pass, %d fail, %d skip", r.count("pass"), r.count("fail"), r.count("skip"))
}

// difference is a line of differences.txt: tests of a package, and below which cause.
type difference struct {
	pkg   string
	test  *regexp.Regexp
	cause string
}

// parseDifferences reads causes, each a line that begins with #, and below it packages with patterns of
// tests, in which * stands for anything.
func parseDifferences(text string) (list []difference) {
	cause := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if c, ok := strings.CutPrefix(line, "#"); ok {
			cause = strings.TrimSpace(c)
			continue
		}
		if f := strings.Fields(line); len(f) == 2 {
			pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(f[1]), `\*`, ".*") + "$"
			list = append(list, difference{f[0], regexp.MustCompile(pattern), cause})
		}
	}
	return list
}

// causeOf returns why a test differs, or "".
func causeOf(known []difference, pkg, test string) string {
	for _, d := range known {
		if d.pkg == pkg && d.test.MatchString(test) {
			return d.cause
		}
	}
	return ""
}

// report prints how a package's tests went, and returns how many differ without a known cause.
func report(pkg string, linux, vm results, known []difference, verbose bool) (unexplained int) {
	fmt.Printf("%s\n\tLinux: %v\n\tVM:    %v\n", pkg, linux, vm)
	names := maps.Clone(linux.outcome)
	maps.Copy(names, vm.outcome)
	if len(names) == 0 {
		fmt.Println("\tno test has run")
		return 1
	}
	for _, test := range slices.Sorted(maps.Keys(names)) {
		a, b := linux.outcome[test], vm.outcome[test]
		if a == b {
			continue
		}
		cause := causeOf(known, pkg, test)
		if cause == "" {
			unexplained++
		} else if !verbose {
			continue
		}
		fmt.Printf("\t%s: %s on Linux, %s in the VM: %s\n", test, orNot(a), orNot(b), cause)
		if verbose {
			fmt.Print(vm.output[test])
		}
	}
	return unexplained
}

func orNot(outcome string) string {
	if outcome == "" {
		return "not run"
	}
	return outcome
}
