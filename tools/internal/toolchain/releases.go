package toolchain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/yolk-unikernel/yolk"
)

// These are the edits to upstream files, and the releases to which they apply.
const (
	editsFile    = "runtime/goroot/edits.txt"
	releasesFile = "runtime/goroot/releases.txt"
)

// A Release is a Go release that the port supports.
type Release struct {
	Name        string // such as go1.26
	First, Last int    // the patch releases that the matrix has passed
	edits       []FileEdit
}

// Releases returns the supported releases, oldest first, from runtime/goroot/releases.txt.
func Releases() ([]Release, error) {
	text, err := yolk.Source.ReadFile(releasesFile)
	if err != nil {
		return nil, err
	}
	return parseReleases(string(text))
}

// parseReleases parses the format of runtime/goroot/releases.txt, which is described there.
func parseReleases(text string) ([]Release, error) {
	var list []Release
	for i, line := range strings.Split(text, "\n") {
		rest, isRelease := strings.CutPrefix(line, "release ")
		var err error
		switch {
		case isRelease:
			var r Release
			r, err = parseRelease(rest)
			list = append(list, r)
		case len(list) > 0:
			err = parseEditLine(&list[len(list)-1].edits, line)
		case line != "" && line[0] != '#':
			err = fmt.Errorf("%q stands before the first release", line)
		}
		if err != nil {
			return nil, fmt.Errorf("releases.txt:%d: %w", i+1, err)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("releases.txt names no release")
	}
	return list, nil
}

// parseRelease reads "go1.26 0-11".
func parseRelease(s string) (r Release, err error) {
	name, span, _ := strings.Cut(s, " ")
	first, last, _ := strings.Cut(span, "-")
	r.Name = name
	if r.First, err = strconv.Atoi(first); err == nil {
		r.Last, err = strconv.Atoi(last)
	}
	if err != nil || !strings.HasPrefix(name, "go1.") {
		return r, fmt.Errorf("%q is not a release and its patch releases, as in go1.26 0-11", s)
	}
	return r, nil
}

// Newest returns the newest patch release that the matrix has passed.
func (r Release) Newest() string { return fmt.Sprintf("%s.%d", r.Name, r.Last) }

// Has reports whether version, such as go1.26.8, belongs to the release.
func (r Release) Has(version string) bool {
	patch, ok := strings.CutPrefix(version, r.Name)
	if !ok || patch == "" {
		return ok
	}
	n, err := strconv.Atoi(strings.TrimPrefix(patch, "."))
	return err == nil && n >= 0 && patch[0] == '.'
}

// ErrUnsupported is wrapped by the errors that refuse a Go release.
var ErrUnsupported = errors.New("unsupported Go release")

// releaseOf returns the supported release that version belongs to.
func releaseOf(version string) (Release, error) {
	list, err := Releases()
	if err != nil {
		return Release{}, err
	}
	for _, r := range list {
		if r.Has(version) {
			return r, nil
		}
	}
	return Release{}, fmt.Errorf("%w %s: yolk supports %s; a toolchain line in go.mod or GOTOOLCHAIN=%s chooses one",
		ErrUnsupported, version, Supported(), list[len(list)-1].Newest())
}

// Supported names the supported releases for a message: "Go 1.26 or 1.27".
func Supported() string {
	list, err := Releases()
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, r := range list {
		names = append(names, strings.TrimPrefix(r.Name, "go"))
	}
	return "Go " + strings.Join(names, " or ")
}

// PortEdits returns the edits to the upstream files of a version such as
// go1.26.8.
func PortEdits(version string) ([]FileEdit, error) {
	r, err := releaseOf(version)
	if err != nil {
		return nil, err
	}
	text, err := yolk.Source.ReadFile(editsFile)
	if err != nil {
		return nil, err
	}
	common, err := ParseEdits(text)
	if err != nil {
		return nil, err
	}
	return r.override(common), nil
}

// override replaces the edits in common by the release's own edits to the same files.
func (r Release) override(common []FileEdit) []FileEdit {
	own := func(f FileEdit) bool {
		return slices.ContainsFunc(r.edits, func(o FileEdit) bool { return o.Path == f.Path })
	}
	return append(slices.DeleteFunc(slices.Clone(common), own), r.edits...)
}
