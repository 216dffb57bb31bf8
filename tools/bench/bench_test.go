package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v; want %v", c.in, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	r := newReport([]*system{{Name: "before"}, {Name: "yolk"}, {Name: "linux"}})
	m := metric{"time", "ms", "less"}
	for _, v := range []float64{100, 300, 200} {
		r.add(m, "yolk", v)
		r.add(m, "linux", 4*v)
		r.add(m, "before", 2*v)
	}
	r.fail(m, "linux", errors.New("it broke"))
	r.fail(metric{"rate", "/s", "more"}, "yolk", errors.New("it broke"))
	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"200 (100–300)", "800 (400–1200), 1 failed", "0.25", "0.5000", "rate"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	file := filepath.Join(t.TempDir(), "r.json")
	if err := r.writeJSON(file); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(file)
	var back report
	if err := json.Unmarshal(b, &back); err != nil || back.Rows[0].Values["yolk"].Median != 200 || back.Rows[0].Ratio != 0.25 || back.Rows[0].Change != 0.5 {
		t.Errorf("JSON = %s, %v", b, err)
	}
}

func TestParseMarks(t *testing.T) {
	hits, err := parseMarks(strings.NewReader("main 5\nmain 1000\nlisten 2000\nroot 2100\nroot 2250\nroot 2390\nroot 99"))
	if err != nil {
		t.Fatal(err)
	}
	// A boot loader may run at main.main's address before main.main is loaded.
	if got := lastBefore(hits["main"], hits["listen"][0]); got != 1000 {
		t.Errorf("main.main at %v; want the last hit before the listener, 1000", got)
	}
	if d := differences(hits["root"], 2000); len(d) != 2 || d[0] != 150 || d[1] != 140 {
		t.Errorf("differences = %v; want 150 and 140, without the line that is cut", d)
	}
	if _, err := parseMarks(strings.NewReader("nonsense\n")); err == nil {
		t.Error("a line without a count was accepted")
	}
}

func TestParseWrk(t *testing.T) {
	const good = `Running 5s test @ http://10.77.0.2:8080/
  1 threads and 32 connections
  7543 requests in 5.01s, 0.90MB read
Requests/sec:   1505.59
Transfer/sec:    184.40KB`
	if n, rate, err := parseWrk(good); n != 7543 || rate != 1505.59 || err != nil {
		t.Errorf("parseWrk = %v, %v, %v", n, rate, err)
	}
	for _, bad := range []string{"", good + "\n  Socket errors: connect 0, read 3, write 0, timeout 0", "  0 requests in 5s\nRequests/sec: 0.00"} {
		if _, _, err := parseWrk(bad); err == nil {
			t.Errorf("parseWrk(%q) succeeded", bad)
		}
	}
}

// Both guests are started with the same arguments, except for their own fields.
func TestArguments(t *testing.T) {
	y := &system{Machine: "microvm,acpi=off", Kernel: "k"}
	l := &system{Machine: "microvm,acpi=on", Kernel: "k", Initrd: "i"}
	a, b := y.args(64), l.args(64)
	if strings.Join(a[2:], " ")+" -initrd i" != strings.Join(b[2:], " ") {
		t.Errorf("arguments differ:\n%v\n%v", a, b)
	}
}

// The functions that are marks exist in the guest's program.
func TestSymbols(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the guest's program")
	}
	file := filepath.Join(t.TempDir(), "plain")
	cmd := exec.Command("go", "build", "-o", file, "./guest/cmd/plain")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols, err := readSymbols(file)
	if err != nil || len(symbols) != 2+len(handlers) {
		t.Errorf("%d of %d marks found: %v, %v", len(symbols), 2+len(handlers), symbols, err)
	}
}

// Flags that exclude each other are refused.
func TestCheck(t *testing.T) {
	for _, o := range []options{{runs: 1, disk: true, counts: true}, {runs: 0}, {runs: 1, only: "nanos"}} {
		if o.check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if err := (&options{runs: 1, counts: true}).check(); err != nil {
		t.Error(err)
	}
}
