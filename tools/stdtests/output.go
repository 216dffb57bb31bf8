package main

import (
	"bytes"
	"regexp"
)

// outcome is the result of a test binary.
type outcome struct {
	// Tests are the verdicts of the top-level tests, examples and fuzz targets:
	// pass, skip or fail.
	Tests map[string]string
	// End is "crash" or "hang" if the binary did not exit by itself.
	End string `json:",omitempty"`
	// Tail is the end of its output after a crash or a hang.
	Tail string `json:",omitempty"`
	// Seconds is how long it ran.
	Seconds float64
}

// count returns how many tests have the verdict.
func (o *outcome) count(verdict string) int {
	n := 0
	for _, v := range o.Tests {
		if v == verdict {
			n++
		}
	}
	return n
}

// keep drops the tests that other does not have.
func (o *outcome) keep(other outcome) {
	tests := map[string]string{}
	for name := range other.Tests {
		if v, ok := o.Tests[name]; ok {
			tests[name] = v
		}
	}
	o.Tests = tests
}

// verdict matches the testing package's report of a test that has ended, with the marker of
// -test.v=test2json. Subtests are indented or have a slash.
var verdict = regexp.MustCompile(`\x16--- (PASS|FAIL|SKIP): ([^\s/]+) \(`)

// final is the last line of a test binary that ran to its end.
var final = regexp.MustCompile(`(?m)^\x16?(PASS|FAIL)\r?$`)

var words = map[string]string{"PASS": "pass", "FAIL": "fail", "SKIP": "skip"}

// parse reads a test binary's output.
func parse(out []byte) outcome {
	o := outcome{Tests: map[string]string{}}
	for _, m := range verdict.FindAllSubmatch(out, -1) {
		o.Tests[string(m[2])] = words[string(m[1])]
	}
	if !final.Match(out) {
		o.End, o.Tail = "crash", tail(out)
	}
	return o
}

// tailLines is how many lines of a crash's output are shown.
const tailLines = 40

// tail returns the last lines of the output, or those of a panic.
func tail(out []byte) string {
	lines := bytes.Split(bytes.ReplaceAll(out, []byte("\x16"), nil), []byte("\n"))
	from := max(0, len(lines)-tailLines)
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte("panic: ")) || bytes.HasPrefix(l, []byte("fatal error: ")) || bytes.HasPrefix(l, []byte("SIGQUIT: ")) {
			from = i
			break
		}
	}
	return string(bytes.Join(lines[from:min(len(lines), from+tailLines)], []byte("\n")))
}
