package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		last     string
		ok       bool
		want     string
	}{
		{"pass", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":0.2}
`, "1 passed, 0 failed, 1 skipped", true, "ok    p (0.2s)"},
		{"fail", `{"Action":"output","Package":"p","Test":"TestA","Output":"x_test.go:1: got 1; want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`, "0 passed, 2 failed, 0 skipped", false, "got 1; want 2"},
		{"does not build", `{"ImportPath":"p","Action":"build-output","Output":"x.go:1: undefined: y\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p"}
`, "0 passed, 1 failed, 0 skipped", false, "undefined: y"},
		{"nothing ran", "go: no such thing\n", "0 passed, 0 failed, 0 skipped", false, "no such thing"},
		{"crash", `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}
`, "0 passed, 1 failed, 0 skipped", false, "panic: boom"},
	} {
		var out strings.Builder
		s := newSummary(&out)
		if err := s.read(strings.NewReader(tt.in)); err != nil {
			t.Fatal(err)
		}
		ok := s.finish()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if last := lines[len(lines)-1]; ok != tt.ok || last != tt.last || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %v,\n%s\nwant %v, last line %q, and %q", tt.name, ok, out.String(), tt.ok, tt.last, tt.want)
		}
	}
}
