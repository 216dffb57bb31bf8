package main

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

// row is one package.
type row struct {
	Package   string
	Linux, VM outcome
	// Unexplained are the differences without a known cause.
	Unexplained []string `json:",omitempty"`
}

// explain finds the differences without a known cause.
func (r *row) explain(known map[string]string) {
	for _, d := range r.differences() {
		if known[d.pkg+" "+d.test] == "" {
			r.Unexplained = append(r.Unexplained, fmt.Sprintf("%s: %s on Linux, %s in the VM", d.test, orNotRun(d.linux), orNotRun(d.vm)))
		}
	}
}

// difference is a top-level test whose verdict in the VM differs from that on Linux.
type difference struct {
	pkg, test string
	linux, vm string // verdicts; "" if the test did not run
}

// differences returns the tests that pass on Linux and not in the VM, and those that fail only in
// the VM. After a crash it omits tests that did not run.
func (r *row) differences() []difference {
	var list []difference
	for test, want := range r.Linux.Tests {
		got := r.VM.Tests[test]
		if got == "" && r.VM.End != "" {
			continue // reported as a crash or a hang
		}
		if want == "pass" && got != "pass" || got == "fail" && want != "fail" {
			list = append(list, difference{r.Package, test, want, got})
		}
	}
	for test, got := range r.VM.Tests {
		if r.Linux.Tests[test] == "" && got == "fail" {
			list = append(list, difference{r.Package, test, "", got})
		}
	}
	slices.SortFunc(list, func(a, b difference) int { return strings.Compare(a.test, b.test) })
	return list
}

//go:embed differences.txt
var differencesText string

// knownDifferences returns the causes of differences by "package test". A line of differences.txt
// is a package, a test and the cause.
func knownDifferences() map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(differencesText) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 3); len(f) == 3 && !strings.HasPrefix(line, "#") {
			known[f[0]+" "+f[1]] = f[2]
		}
	}
	return known
}

// progress prints one line when a package is done.
func progress(w io.Writer, r *row) {
	note := r.VM.End
	if n := len(r.differences()); n > 0 {
		note += fmt.Sprintf(" %d different", n)
	}
	fmt.Fprintf(w, "%-32s %4d of %4d pass, %6.1f s %s\n", r.Package, r.VM.count("pass"), r.Linux.count("pass"), r.VM.Seconds, note)
}

// report prints the table, the differences and the totals, in Markdown, and returns whether every
// difference is known and no package crashed or hung.
func report(w io.Writer, rows []row, known map[string]string) bool {
	ok := true
	var sum struct{ linux, linuxSkip, pass, skip, fail, common int }
	fmt.Fprintf(w, "| package | Linux pass | skip | VM pass | skip | fail | not run | s |\n|---|---|---|---|---|---|---|---|\n")
	var all []difference
	for i := range rows {
		r := &rows[i]
		d := r.differences()
		all = append(all, d...)
		notRun, common := 0, 0
		for test, v := range r.Linux.Tests {
			if v == "pass" && r.VM.Tests[test] == "" {
				notRun++
			}
			if v == "pass" && r.VM.Tests[test] == "pass" {
				common++
			}
		}
		l, v := &r.Linux, &r.VM
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %.0f |\n", r.Package,
			l.count("pass"), l.count("skip"), v.count("pass"), v.count("skip"), v.count("fail"), notRun, v.Seconds)
		sum.linux += l.count("pass")
		sum.linuxSkip += l.count("skip")
		sum.pass += v.count("pass")
		sum.skip += v.count("skip")
		sum.fail += v.count("fail")
		sum.common += common
	}
	fmt.Fprintf(w, "| **%d packages** | %d | %d | %d | %d | %d | | |\n\n", len(rows), sum.linux, sum.linuxSkip, sum.pass, sum.skip, sum.fail)
	for i := range rows {
		if v := &rows[i].VM; v.End != "" {
			ok = false
			fmt.Fprintf(w, "%s: %s after %.0f s; the end of its output:\n%s\n\n", rows[i].Package, v.End, v.Seconds, v.Tail)
		}
	}
	for _, d := range all {
		cause, explained := known[d.pkg+" "+d.test]
		if !explained {
			cause, ok = "not explained yet", false
		}
		fmt.Fprintf(w, "%s %s: %s on Linux, %s in the VM: %s\n", d.pkg, d.test, orNotRun(d.linux), orNotRun(d.vm), cause)
	}
	if sum.linux > 0 {
		fmt.Fprintf(w, "\n%d of the %d tests that pass on Linux pass in the VM (%.2f %%)\n", sum.common, sum.linux, 100*float64(sum.common)/float64(sum.linux))
	}
	return ok
}

func orNotRun(v string) string {
	if v == "" {
		return "not run"
	}
	return v
}
