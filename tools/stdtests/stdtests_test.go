package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// output is printed by a test binary with -test.v=test2json; the test TestB prints a line that
// looks like a verdict.
const output = "\x16=== RUN   TestA\nno newline\x16--- PASS: TestA (0.00s)\n" +
	"\x16=== RUN   TestB\n--- FAIL: TestNone (0.00s)\n\x16=== RUN   TestB/sub\n\x16--- FAIL: TestB/sub (0.00s)\n" +
	"\x16--- FAIL: TestB (0.01s)\n\x16=== RUN   TestC\n    c_test.go:1: why\n\x16--- SKIP: TestC (0.00s)\n"

func TestParse(t *testing.T) {
	tests := map[string]string{"TestA": "pass", "TestB": "fail", "TestC": "skip"}
	got := parse([]byte(output + "\x16FAIL\n"))
	if want := (outcome{Tests: tests}); !cmp.Equal(got, want) {
		t.Errorf("parse: %s", cmp.Diff(want, got))
	}
	got = parse([]byte(output + "\x16=== RUN   TestD\npanic: oh\n\ngoroutine 1 [running]:\n"))
	if got.End != "crash" || !strings.HasPrefix(got.Tail, "panic: oh\n") || len(got.Tests) != 3 {
		t.Errorf("parse of a panic = %+v", got)
	}
}

func TestParseGoTest(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "x.test")
	if out, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Skipf("no go command: %v\n%s", err, out)
	}
	out, err := exec.Command(bin, "-test.v=test2json", "-test.run=^TestMatch$|^TestSkipped$").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{Tests: map[string]string{"TestMatch": "pass", "TestSkipped": "pass"}}
	if got := parse(out); !cmp.Equal(got, want) {
		t.Errorf("parse: %s", cmp.Diff(want, got))
	}
}

func TestMatch(t *testing.T) {
	all := []string{"net", "net/http", "net/url", "netx"}
	got, err := match(all, []string{"net/...", "netx"})
	if want := []string{"net", "net/http", "net/url", "netx"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("match = %v, %v; want %v", got, err, want)
	}
	if _, err := match(all, []string{"nosuch"}); err == nil {
		t.Error("match of an unknown package succeeded")
	}
}

func TestSkipped(t *testing.T) {
	re, err := regexp.Compile(skipped("sync"))
	if err != nil || !re.MatchString("TestMutexMisuse") || re.MatchString("TestMutexMisuseNot") {
		t.Errorf("skipped(sync) = %q, %v", skipped("sync"), err)
	}
	if s := skipped("bytes"); s != "" {
		t.Errorf("skipped(bytes) = %q", s)
	}
}

func TestFiles(t *testing.T) {
	got := files("time")
	for _, want := range []string{"src/time", "lib/time", "VERSION"} {
		if !slices.Contains(got, want) {
			t.Errorf("files(time) = %v; want %s in it", got, want)
		}
	}
	if got := files("bytes"); slices.Contains(got, "lib/time") {
		t.Errorf("files(bytes) = %v", got)
	}
}

// The sample includes the packages that it must, and each exists.
func TestSample(t *testing.T) {
	for _, want := range []string{"runtime", "sync", "time", "os", "net", "net/http", "os/signal", "runtime/pprof", "crypto/tls"} {
		if !slices.Contains(sample, want) {
			t.Errorf("the sample lacks %s", want)
		}
	}
	if len(sample) < 25 || !slices.IsSorted(sample) {
		t.Errorf("%d packages in the sample, sorted %v", len(sample), slices.IsSorted(sample))
	}
}

// Each known difference is in the documentation, with its cause.
func TestDifferencesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/stdtests.md")
	if err != nil {
		t.Fatal(err)
	}
	for test, cause := range knownDifferences() {
		if row := "| " + strings.ReplaceAll(test, " ", " | ") + " | " + cause + " |"; !bytes.Contains(doc, []byte(row)) {
			t.Errorf("docs/stdtests.md lacks %q", row)
		}
	}
}

func TestReport(t *testing.T) {
	rows := []row{{
		Package: "p",
		Linux:   outcome{Tests: map[string]string{"A": "pass", "B": "pass", "C": "skip", "D": "pass", "E": "fail"}},
		VM:      outcome{Tests: map[string]string{"A": "pass", "B": "skip", "C": "fail", "E": "fail"}, Seconds: 2},
	}}
	var b bytes.Buffer
	if report(&b, rows, map[string]string{"p B": "no B", "p C": "bad C"}) {
		t.Error("report with an unknown difference = true")
	}
	for _, want := range []string{
		"| p | 3 | 1 | 1 | 1 | 2 | 1 | 2 |\n",
		"p B: pass on Linux, skip in the VM: no B\n",
		"p C: skip on Linux, fail in the VM: bad C\n",
		"p D: pass on Linux, not run in the VM: not explained yet\n",
		"1 of the 3 tests that pass on Linux pass in the VM (33.33 %)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	rows[0].VM.Tests["D"] = "pass"
	if !report(&b, rows, map[string]string{"p B": "no B", "p C": "bad C"}) {
		t.Error("report with known differences = false")
	}
	rows[0].VM.End = "hang"
	if report(&b, rows, map[string]string{"p B": "no B", "p C": "bad C"}) {
		t.Error("report of a hang = true")
	}
}

// docs/stdtests.md has the known differences, all of them.
func TestDocsHaveDifferences(t *testing.T) {
	page, err := os.ReadFile("../../docs/stdtests.md")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(page), "## Results")
	known := knownDifferences()
	for name, cause := range known {
		pkg, test, _ := strings.Cut(name, " ")
		if row := "| " + pkg + " | " + test + " | " + cause + " |\n"; !strings.Contains(table, row) {
			t.Errorf("docs/stdtests.md lacks %q", row)
		}
	}
	if rows := strings.Count(table, "\n| ") - 1; rows != len(known) {
		t.Errorf("docs/stdtests.md has %d differences; differences.txt has %d", rows, len(known))
	}
}
