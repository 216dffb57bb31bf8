package yolk

import (
	"go/parser"
	"go/token"
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

// step is a row of a strict page's table: its number and what the second column names.
var (
	step   = regexp.MustCompile(`^\| (?:\d+|later) \| ([^|]*) \|`)
	listed = regexp.MustCompile("`([A-Za-z_][A-Za-z0-9_.]*)`")
)

// Each step of a path names functions of ours, all of which exist, bare ones too.
func TestDocsStepsExist(t *testing.T) {
	have := declared(t)
	for page := range strict {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for line := range strings.Lines(string(text)) {
			row := step.FindStringSubmatch(line)
			if row == nil {
				continue
			}
			steps++
			for _, m := range listed.FindAllStringSubmatch(row[1], -1) {
				if !have[m[1]] {
					t.Errorf("%s: %s does not exist:\n%s", page, m[1], line)
				}
			}
		}
		if steps < 15 {
			t.Errorf("%s has only %d steps; the pattern has gone wrong", page, steps)
		}
	}
}

// Programs see each type of device that drivers know by a name.
func TestDeviceKinds(t *testing.T) {
	types, err := os.ReadFile("drivers/virtio/virtio.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := os.ReadFile("runtime/machine_yolk.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^\tType(\w+) +DeviceType = (\d+)$`).FindAllStringSubmatch(string(types), -1)
	if len(list) < 7 {
		t.Errorf("found only %d types of devices in drivers/virtio/virtio.go", len(list))
	}
	for _, m := range list {
		if !strings.Contains(string(kinds), m[2]+`: "`) {
			t.Errorf("kinds in runtime/machine_yolk.go has no name for Type%s (%s)", m[1], m[2])
		}
	}
}

// sourceFile is a file of Go or assembly that a comment names.
var sourceFile = regexp.MustCompile(`\b[a-z0-9_]+\.(?:go|s)\b`)

// Package comments name files that exist, in the package's folder or another.
func TestPackageCommentsNameFiles(t *testing.T) {
	have := map[string]bool{}
	goFiles(t, func(path string) { have[filepath.Base(path)] = true })
	asm, _ := filepath.Glob("runtime/goroot/src/runtime/*.s")
	for _, path := range asm {
		have[filepath.Base(path)] = true
	}
	checked := 0
	goFiles(t, func(path string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range sourceFile.FindAllString(f.Doc.Text(), -1) {
			checked++
			if !have[name] {
				t.Errorf("the package comment in %s names %s, which does not exist", path, name)
			}
		}
	})
	if checked < 60 {
		t.Errorf("only %d names of files were checked; the pattern has gone wrong", checked)
	}
}
