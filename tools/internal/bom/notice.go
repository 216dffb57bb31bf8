package bom

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// A notice is the text of the file NOTICE: for each module a line "## PATH VERSION", and for each of
// its license files a line "### NAME", and the text of the file, each line of it indented by a tab.

// Entry is a module in a notice.
type Entry struct {
	Path, Version string
	License       License
}

// WriteNotice returns the notice of these modules.
func WriteNotice(head string, entries []Entry) string {
	var b strings.Builder
	b.WriteString(head)
	for _, e := range entries {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSpace(e.Path+" "+e.Version))
		for _, f := range e.License.Files {
			fmt.Fprintf(&b, "\n### %s\n", f.Name)
			for line := range strings.Lines(strings.TrimRight(f.Text, "\n") + "\n") {
				b.WriteString(strings.TrimRight("\t"+line, " \t\r\n") + "\n")
			}
		}
	}
	return b.String()
}

// ReadNotice returns the modules of a notice.
func ReadNotice(text string) ([]Entry, error) {
	var entries []Entry
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "## "); ok {
			p, v, _ := strings.Cut(name, " ")
			entries = append(entries, Entry{Path: p, Version: v})
			continue
		}
		if len(entries) == 0 {
			continue
		}
		l := &entries[len(entries)-1].License
		if name, ok := strings.CutPrefix(line, "### "); ok {
			l.Files = append(l.Files, File{Name: path.Base(name)})
		} else if n := len(l.Files); n > 0 {
			l.Files[n-1].Text += strings.TrimPrefix(line, "\t") + "\n"
		} else if line != "" {
			return nil, errors.New("the notice has a text without a name: " + line)
		}
	}
	for i := range entries {
		l := &entries[i].License
		for j, f := range l.Files {
			l.Files[j].Text = strings.Trim(f.Text, "\n") + "\n"
		}
		l.identify()
	}
	return entries, nil
}
