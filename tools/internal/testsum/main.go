// Command testsum reads go test -json (test2json, go doc test2json) on standard input and writes a
// summary for people: a line per package, the output of failed tests, the slowest tests, and as the
// last line the number of tests that passed and failed. It exits with 1 if anything failed or
// nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"
)

func main() {
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}

// event is one line of the stream.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
	Elapsed                       float64
}

type summary struct {
	w                       io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test
	slow                    []event
	skips                   []string
}

func newSummary(w io.Writer) *summary {
	return &summary{w: w, output: map[string][]string{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.event(e)
			} else {
				s.w.Write(line) // from go vet, or the go command itself
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) event(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		io.WriteString(s.w, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.pkg(e, s.output[key])
		} else {
			s.test(e, s.output[key])
		}
		delete(s.output, key)
	}
}

func (s *summary) test(e event, output []string) {
	switch e.Action {
	case "pass":
		s.passed++
		s.slow = append(s.slow, e)
		return
	case "skip":
		s.skipped++
		s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(output)))
		return
	}
	s.failed++
	fmt.Fprintf(s.w, "FAIL  %s %s (%.1fs)\n%s", e.Package, e.Test, e.Elapsed, strings.Join(output, ""))
}

// reason finds the message of t.Skip.
func reason(output []string) string {
	for _, l := range output {
		if l = strings.TrimSpace(l); strings.Contains(l, ".go:") {
			return l
		}
	}
	return ""
}

func (s *summary) pkg(e event, output []string) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.w, "ok    %s (%.1fs)\n", e.Package, e.Elapsed)
		return
	case "skip":
		return
	}
	// A package that fails without a failed test did not build, or it crashed.
	s.failed++
	fmt.Fprintf(s.w, "FAIL  %s\n%s", e.Package, strings.Join(output, ""))
	for key, lines := range s.output {
		if name, ok := strings.CutPrefix(key, e.Package+"\x00"); ok && name != "" {
			fmt.Fprintf(s.w, "unfinished: %s\n%s", name, strings.Join(lines, ""))
		}
	}
}

const slowest = 5

// finish prints the totals and reports whether everything passed.
func (s *summary) finish() bool {
	sort.Slice(s.slow, func(i, j int) bool { return s.slow[i].Elapsed > s.slow[j].Elapsed })
	for _, e := range s.slow[:min(slowest, len(s.slow))] {
		d := time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
		fmt.Fprintf(s.w, "slow  %s %s (%v)\n", e.Package, e.Test, d)
	}
	for _, k := range s.skips {
		fmt.Fprintf(s.w, "skip  %s\n", k)
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && s.passed > 0
}
