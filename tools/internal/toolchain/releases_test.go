package toolchain

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func releases(t *testing.T) []Release {
	t.Helper()
	list, err := Releases()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUnsupported(t *testing.T) {
	list := releases(t)
	newest := list[len(list)-1]
	var minor int
	if _, err := fmt.Sscanf(newest.Name, "go1.%d", &minor); err != nil {
		t.Fatal(err)
	}
	for v, ok := range map[string]bool{
		"go1.26": true, "go1.26.0": true, "go1.26.8": true, newest.Newest(): true, newest.Name + ".99": true,
		"go1.25.3": false, fmt.Sprintf("go1.%d.0", minor+1): false, "go1.260.1": false, newest.Name + "rc1": false,
		"go1.26.8-custom": false, "devel": false, "": false,
	} {
		_, err := releaseOf(v)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("releaseOf(%q) = %v", v, err)
		}
		if err != nil && !strings.Contains(err.Error(), Supported()+"; a toolchain line in go.mod or GOTOOLCHAIN="+newest.Newest()+" chooses one") {
			t.Errorf("%q does not say what to choose", err)
		}
	}
}

// The README and docs/port.md name the supported releases.
func TestDocsNameReleases(t *testing.T) {
	for page, want := range map[string][]string{"README.md": {Supported()}, "docs/port.md": patchReleases(t)} {
		text, err := os.ReadFile("../../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s does not name %s", page, w)
			}
		}
	}
}

// patchReleases returns the rows of the table in docs/port.md.
func patchReleases(t *testing.T) (rows []string) {
	t.Helper()
	for _, r := range releases(t) {
		rows = append(rows, fmt.Sprintf("| Go %s.%d to %s |", strings.TrimPrefix(r.Name, "go"), r.First, strings.TrimPrefix(r.Newest(), "go")))
	}
	return rows
}

func TestParseReleases(t *testing.T) {
	list, err := parseReleases("# about\nrelease go1.1 0-4\nrelease go1.2 1-3\nfile b\nfind x\n+y\n")
	if err != nil || len(list) != 2 || list[0].Newest() != "go1.1.4" || list[1].First != 1 {
		t.Fatalf("parseReleases = %+v, %v", list, err)
	}
	common := []FileEdit{{Path: "a"}, {Path: "b"}, {Path: "c"}}
	var got []string
	for _, f := range list[1].override(common) {
		got = append(got, f.Path)
		if f.Path == "b" && f.Lines() != 1 {
			t.Error("the release's own edits of b are not used")
		}
	}
	if s := strings.Join(got, ""); s != "acb" {
		t.Errorf("edited files %s; want a and c of all releases and b of its own", s)
	}
	if n := len(list[0].override(common)); n != 3 {
		t.Errorf("a release without edits of its own has %d files; want 3", n)
	}
	for _, bad := range []string{"", "# none", "file a", "release go1.1", "release go1.1 0", "release 1.1 0-3", "release go1.1 0-3\nfind x"} {
		if _, err := parseReleases(bad); err == nil {
			t.Errorf("parseReleases(%q) accepted it", bad)
		}
	}
}

func TestKeysFollowVersionAndEdits(t *testing.T) {
	edits, err := PortEdits("go1.26.8")
	if err != nil {
		t.Fatal(err)
	}
	all, tools := contentKeys("go1.26.8", edits)
	if a, b := contentKeys("go1.26.8", edits); a != all || b != tools {
		t.Error("equal content has other keys")
	}
	for what, f := range map[string]func() (string, string){
		"the version": func() (string, string) { return contentKeys("go1.26.9", edits) },
		"the edits":   func() (string, string) { return contentKeys("go1.26.8", edits[1:]) },
	} {
		if a, b := f(); a == all || b == tools {
			t.Errorf("%s can change without the keys", what)
		}
	}
}
