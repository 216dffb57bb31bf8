package yolk

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/libraries.md names each module that go.mod requires, and says what for.
func TestLibrariesAreListed(t *testing.T) {
	page, err := os.ReadFile("docs/libraries.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	direct := strings.Fields(string(out))
	if len(direct) < 5 {
		t.Fatalf("go.mod requires only %q", direct)
	}
	for _, m := range direct {
		if !strings.Contains(string(page), "| "+m) {
			t.Errorf("docs/libraries.md does not list %s", m)
		}
	}
}

// quotedPath is a path of the repository in backquotes.
var quotedPath = regexp.MustCompile("`((?:boot|docs|drivers|examples|kernel|netstack|runtime|test|tools)/[A-Za-z0-9_./*-]+)`")

// Files and folders that the pages name exist. Capital letters stand for any name.
func TestDocsNamePaths(t *testing.T) {
	pages, _ := filepath.Glob("docs/*.md")
	checked := 0
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quotedPath.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "runtime/yolk/") { // in the distribution
				continue
			}
			path := strings.TrimSuffix(strings.ReplaceAll(m[1], "NAME", "*"), "/")
			checked++
			if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d paths were checked; the pattern has gone wrong", checked)
	}
}
