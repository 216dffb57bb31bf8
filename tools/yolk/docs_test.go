package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/running.md and yolk run -h know the same flags of the VM.
func TestRunningPageHasFlags(t *testing.T) {
	page, err := os.ReadFile("../../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	_, text, ok := strings.Cut(text, "## The machine")
	if !ok {
		t.Fatal("docs/running.md has no section The machine")
	}
	help := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^    -([a-z-]+)[ ,]`).FindAllStringSubmatch(runHelp, -1) {
		help[m[1]] = true
	}
	if len(help) < 15 {
		t.Fatalf("found only %d flags in yolk run -h", len(help))
	}
	for name := range help {
		if name == "tags" { // go build's, as the page says
			continue
		}
		if !slices.Contains(switches, name) && newVMFlags().setter(name) == nil {
			t.Errorf("yolk run -h has -%s, which is no flag", name)
		}
		if !regexp.MustCompile("`-" + name + "\\b").MatchString(text) {
			t.Errorf("docs/running.md does not have -%s", name)
		}
	}
	// Those of other commands and programs.
	others := map[string]bool{"size": true, "from": true, "device": true, "append": true, "fuzz": true}
	for _, m := range regexp.MustCompile("`-([a-z-]+)").FindAllStringSubmatch(text, -1) {
		if !help[m[1]] && !others[m[1]] {
			t.Errorf("docs/running.md has -%s, which yolk run -h has not", m[1])
		}
	}
}
