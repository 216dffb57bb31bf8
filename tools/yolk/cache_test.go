package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makeCache makes a cache folder: an old toolchain with its build cache, one that is used, and two images.
func makeCache(t *testing.T) (base string) {
	t.Helper()
	base = t.TempDir()
	t.Setenv("YOLK_CACHE", base)
	old := time.Now().Add(-10 * 24 * time.Hour)
	for _, f := range []struct {
		name string
		used time.Time
	}{
		{"go1.26.8-000000000a1d/yolk.done", old}, {"go1.26.8-000000000ace/yolk.done", time.Now()},
		{"cache-go1.26.8-000000000a1d/00/a", old}, {"cache-go1.26.8-000000000ace/00/a", old},
		{"go1.26.8/bin/go", old}, {"go1.26.8-mine/a", old}, {"photos/a", old}, // not yolk's
		{"images/old/app", old}, {"images/new/app", time.Now()},
	} {
		path := filepath.Join(base, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 8192), 0o444); err != nil {
			t.Fatal(err)
		}
		for p := path; p != base; p = filepath.Dir(p) {
			if err := os.Chtimes(p, f.used, f.used); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range []string{"000000000a1d", "000000000ace"} {
		d := filepath.Join(base, "go1.26.8-"+key)
		if err := os.Symlink(filepath.Join(base, "cache-go1.26.8-"+key), filepath.Join(d, "yolk.cache")); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// The list has each part with its size; prune removes what was not used for a week, and no build cache of a
// toolchain that was.
func TestCache(t *testing.T) {
	base := makeCache(t)
	got := yolk(t, "cache", "-json")
	var list []struct {
		Path, Kind string
		Bytes      int64
		Used       time.Time
	}
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || got.status != 0 || len(list) != 9 {
		t.Fatalf("%+v: %v; want nine parts", got, err)
	}
	for _, c := range list {
		if c.Bytes < 8192 || c.Kind == "" || c.Used.IsZero() {
			t.Errorf("%+v", c)
		}
	}
	if got = yolk(t, "cache"); got.status != 0 || !strings.Contains(got.out, "2 in "+filepath.Join(base, "images")) || !strings.Contains(got.out, "10 d ago") {
		t.Errorf("%+v", got)
	}
	if got = yolk(t, "cache", "prune"); got.status != 0 || !strings.HasSuffix(got.out, "1 MiB removed\n") {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]bool{
		"go1.26.8-000000000a1d": false, "go1.26.8-000000000ace": true, "cache-go1.26.8-000000000a1d": false, "cache-go1.26.8-000000000ace": true, "images/old": false, "images/new": true,
	} {
		if _, err := os.Stat(filepath.Join(base, name)); (err == nil) != want {
			t.Errorf("%s: %v; want it there: %v", name, err, want)
		}
	}
	if got = yolk(t, "cache", "prune", "-age", "0"); got.status != 0 {
		t.Errorf("%+v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(base, "*-000000000a*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(base, "photos/a")); err != nil {
		t.Error("what is not yolk's is gone: ", err)
	}
}

func TestCacheRefuses(t *testing.T) {
	t.Setenv("YOLK_CACHE", filepath.Join(t.TempDir(), "none"))
	for _, tt := range []struct {
		args   string
		status int
		say    string
	}{
		{"cache", 0, "0 MiB in all"}, {"cache prune", 0, "0 MiB removed"}, {"cache -json", 0, "[]"},
		{"cache x", 2, "unknown argument x"}, {"cache -age 1d", 2, "not defined: -age"}, {"cache prune -age x", 2, "such as 12h or 30d"},
		{"cache prune -age -1h", 2, "such as 12h or 30d"}, {"cache -h", 0, "Usage: yolk cache"},
	} {
		got := yolk(t, strings.Fields(tt.args)...)
		if got.status != tt.status || !strings.Contains(got.out+got.err, tt.say) {
			t.Errorf("yolk %s: %+v; want status %d and %q", tt.args, got, tt.status, tt.say)
		}
	}
}
