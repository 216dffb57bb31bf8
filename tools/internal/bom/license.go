package bom

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// License is what may be done with a module.
type License struct {
	// IDs are SPDX identifiers, sorted; none if the text is not known.
	IDs []string
	// Files are the license files, with their texts; none if the source is not at hand.
	Files []File
}

// File is a text.
type File struct{ Name, Text string }

// names are the beginnings of the names of files with licenses and what they ask to pass on.
var names = []string{"licen", "copying", "notice", "copyright", "patents", "unlicense"}

// Folder returns the license of the module in a folder.
func Folder(dir string) (License, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return License{}, err
	}
	var l License
	for _, e := range entries {
		lower := strings.ToLower(e.Name())
		if !e.Type().IsRegular() || strings.HasSuffix(lower, ".go") || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(lower, n) }) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return License{}, err
		}
		l.Files = append(l.Files, File{e.Name(), string(text)})
	}
	l.identify()
	return l, nil
}

// identify finds the identifiers of the texts.
func (l *License) identify() {
	l.IDs = nil
	for _, f := range l.Files {
		for _, m := range licensecheck.Scan([]byte(f.Text)).Match {
			// A patent grant beside a license has no identifier of SPDX's.
			if !m.IsURL && !strings.HasPrefix(m.ID, "GooglePatent") && !slices.Contains(l.IDs, m.ID) {
				l.IDs = append(l.IDs, m.ID)
			}
		}
	}
	slices.Sort(l.IDs)
}

// expression returns an SPDX license expression, "" if the license is not known.
func (l License) expression() string { return strings.Join(l.IDs, " AND ") }
