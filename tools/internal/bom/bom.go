// Package bom says what is in an image: the modules of its build information, with their licenses,
// as CycloneDX 1.6 or SPDX 2.3 documents. Start with [Read].
package bom

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Image is an image and what it is built from.
type Image struct {
	Name    string // of the file
	SHA256  string // of the file, hexadecimal
	Package string // import path of the program
	Built   time.Time
	Parts   []Part // the program's own module first, then the others and Go, by path
}

// Part is a module in an image.
type Part struct {
	Path, Version string
	Sum           string // of go.sum, or ""
	License       License
}

// goPath is the path of the Go distribution's own packages, as vulnerability databases name them.
const goPath = "stdlib"

// Read reads an image's build information. find returns the license of each part.
func Read(file string, find func(path, version string) License) (*Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := buildinfo.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s has no build information (%w): build it with yolk build or the go command, inside of a module", file, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return nil, err
	}
	im := &Image{Name: filepath.Base(file), SHA256: hex.EncodeToString(h.Sum(nil)), Package: info.Path, Built: built(info)}
	var parts []Part
	seen := map[string]bool{}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if id := m.Path + "@" + m.Version; !seen[id] {
			seen[id] = true
			parts = append(parts, Part{Path: m.Path, Version: m.Version, Sum: m.Sum})
		}
	}
	parts = append(parts, Part{Path: goPath, Version: strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")})
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version, b.Version)) })
	if info.Main.Path != "" {
		parts = slices.Insert(parts, 0, Part{Path: info.Main.Path, Version: info.Main.Version, Sum: info.Main.Sum})
	}
	for i, p := range parts {
		parts[i].License = find(p.Path, p.Version)
	}
	im.Parts = parts
	return im, nil
}

// built returns the time of the commit that an image was built from, if it is known, so that the same
// image gives the same document.
func built(info *debug.BuildInfo) time.Time {
	for _, s := range info.Settings {
		if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return t
		}
	}
	return time.Unix(0, 0).UTC()
}

// url returns the package URL (purl-spec, type "golang").
func (p Part) url() string {
	u := "pkg:golang/" + p.Path
	if p.Version != "" {
		u += "@" + strings.NewReplacer("(", "%28", ")", "%29", "+", "%2B").Replace(p.Version)
	}
	return u
}
