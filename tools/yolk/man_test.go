package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each command has a page, with its help as it is; man shows it without a complaint where it is installed.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if got := yolk(t, "man", dir); got.status != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	for _, c := range append([]command{{name: "", help: overview()}}, commands...) {
		path := filepath.Join(dir, strings.TrimSuffix("yolk-"+c.name, "-")+".1")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		_, text, _ := strings.Cut(string(b), ".nf\n")
		text, _, _ = strings.Cut(text, ".fi\n")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
				t.Errorf("%s: %q is a request", path, line)
			}
		}
		if got := strings.NewReplacer(`\e`, `\`, `\-`, "-", `\&`, "").Replace(text); got != c.help {
			t.Errorf("%s: %q; want %q", path, got, c.help)
		}
		if groff, err := exec.LookPath("groff"); err == nil {
			if out, err := exec.Command(groff, "-Kutf8", "-Tutf8", "-man", "-ww", "-z", path).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("groff %s: %v %s", path, err, out)
			}
		}
	}
}
