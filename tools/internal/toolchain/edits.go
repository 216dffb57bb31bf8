package toolchain

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// A FileEdit is the port's changes to one upstream file.
type FileEdit struct {
	Path  string // below GOROOT
	Edits []Edit
}

// An Edit adds lines after a line of the file, or replaces it.
type Edit struct {
	Find    string // the line, without white space at its ends
	Nth     int    // which of several equal lines, from 1
	Replace bool   // the lines of New replace the line
	New     []string
}

// Lines returns how many lines of the file are new or changed.
func (f FileEdit) Lines() int {
	n := 0
	for _, e := range f.Edits {
		n += len(e.New)
	}
	return n
}

// ParseEdits parses the format of runtime/goroot/edits.txt, which is described there.
func ParseEdits(text []byte) ([]FileEdit, error) {
	var files []FileEdit
	s := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; s.Scan(); n++ {
		if err := parseEditLine(&files, s.Text()); err != nil {
			return nil, fmt.Errorf("edits.txt:%d: %w", n, err)
		}
	}
	return files, s.Err()
}

func parseEditLine(files *[]FileEdit, line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	if path, ok := strings.CutPrefix(line, "file "); ok {
		*files = append(*files, FileEdit{Path: path})
		return nil
	}
	if len(*files) == 0 {
		return fmt.Errorf("%q stands before the first file", line)
	}
	f := &(*files)[len(*files)-1]
	if find, ok := strings.CutPrefix(line, "find "); ok {
		e := Edit{Find: find, Nth: 1}
		if num, rest, ok := strings.Cut(find, " "); ok {
			if nth, err := strconv.Atoi(num); err == nil {
				e.Nth, e.Find = nth, rest
			}
		}
		f.Edits = append(f.Edits, e)
		return nil
	}
	if line[0] != '+' && line[0] != '=' {
		return fmt.Errorf("%q is none of file, find, + and =", line)
	}
	if len(f.Edits) == 0 {
		return fmt.Errorf("%q stands before the first find", line)
	}
	e := &f.Edits[len(f.Edits)-1]
	e.Replace = line[0] == '='
	e.New = append(e.New, line[1:])
	return nil
}

// Apply returns the file's text with the edits made.
func (f FileEdit) Apply(text []byte) ([]byte, error) {
	lines := strings.Split(string(text), "\n")
	for _, e := range f.Edits {
		at := findLine(lines, e.Find, e.Nth)
		if at < 0 {
			return nil, fmt.Errorf("%s: no line %d that reads %q", f.Path, e.Nth, e.Find)
		}
		rest := lines[at+1:]
		keep := lines[:at+1]
		if e.Replace {
			keep = lines[:at]
		}
		lines = append(append(append([]string{}, keep...), e.New...), rest...)
	}
	return []byte(strings.Join(lines, "\n")), nil
}

func findLine(lines []string, want string, nth int) int {
	for i, l := range lines {
		if strings.TrimSpace(l) == want {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	return -1
}

// Budget is how many lines of upstream files the port may edit. To raise it,
// change it in the commit that needs it, with the reason. The one beyond 40 leaves out
// what looks for control groups: 30 KB of each image.
const Budget = 41
