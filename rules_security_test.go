package yolk

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every test that the table of SECURITY.md names exists; of a test with parts, the part.
func TestSecurityTable(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	var all strings.Builder
	for _, name := range strings.Fields(string(out)) {
		if code, err := os.ReadFile(name); err == nil {
			all.Write(code)
		}
	}
	code, rows := all.String(), 0
	_, table, _ := strings.Cut(string(text), "## Protections\n")
	table, _, _ = strings.Cut(table, "\n## ")
	names := regexp.MustCompile(`(Test|Fuzz)[A-Za-z0-9]+(/[a-z0-9-]+)?`)
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " **") || strings.HasPrefix(cells[1], "---") || cells[1] == " protection " {
			continue
		}
		found := names.FindAllString(cells[3], -1)
		if len(found) == 0 {
			t.Errorf("no test holds %q", strings.TrimSpace(cells[1]))
		}
		for _, name := range found {
			rows++
			test, part, _ := strings.Cut(name, "/")
			if !strings.Contains(code, "func "+test+"(") || part != "" && !strings.Contains(code, `"`+part+`"`) {
				t.Errorf("SECURITY.md names %s, which does not exist", name)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d tests are named; want a table of them", rows)
	}
}
