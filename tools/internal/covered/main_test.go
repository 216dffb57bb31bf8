package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const profile = `mode: atomic
m/a/x.go:1.1,2.2 3 0
m/a/x.go:3.1,4.2 1 7
m/a/y_host.go:1.1,2.2 100 0
m/b/z.go:1.1,2.2 4 0
m/a/x.go:1.1,2.2 3 2
m/b/z.go:1.1,2.2 4 0
`

func TestCovered(t *testing.T) {
	for _, tt := range []struct {
		name, profile string
		least         float64
		out, err      string
	}{
		{"enough", profile, 50, "cover m/a 100.0 % of 4 statements\ncover m/b 0.0 % of 4 statements\ncover all 50.0 % of 8 statements\n", ""},
		{"too little", profile, 50.1, "cover all 50.0 %", "the tests run 50.0 % of the statements; want at least 50.1 %"},
		{"empty", "mode: set\n", 0, "", "no statements"},
		{"damaged", "mode: set\nm/a/x.go:1.1,2.2 3\n", 0, "", "is no line of a profile"},
		{"no number", "mode: set\nm/a/x.go:1.1,2.2 3 x\n", 0, "", "invalid syntax"},
	} {
		file := filepath.Join(t.TempDir(), "profile")
		if err := os.WriteFile(file, []byte(tt.profile), 0o666); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := run(file, `_host\.go$`, tt.least, &out)
		if !strings.Contains(out.String(), tt.out) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v,\n%s\nwant %q and\n%s", tt.name, err, out.String(), tt.err, tt.out)
		}
	}
	if err := run(filepath.Join(t.TempDir(), "none"), "", 0, os.Stdout); err == nil {
		t.Error("a profile that is not there is taken")
	}
}
