package toolchain

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// After a toolchain is built those of the same release that were not used for a day go, with the build caches
// that only they have used; what is used, the host's cache and other releases stay.
func TestRemoveOthers(t *testing.T) {
	base := t.TempDir()
	add := func(name, cache string, age time.Duration) {
		d := filepath.Join(base, name)
		done := filepath.Join(d, doneFile)
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(done, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-age)
		if err := os.Chtimes(done, used, used); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(base, cache), filepath.Join(d, cacheLink)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []string{"cache-go1.26.8-a", "cache-go1.26.8-b", "cache-go1.26.8-c", "cache-go1.26.8-host", "cache-go1.27-a"} {
		if err := os.Mkdir(filepath.Join(base, c), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const week = 7 * 24 * time.Hour
	add("go1.26.8-key", "cache-go1.26.8-a", 0)
	add("go1.26.8-young", "cache-go1.26.8-b", time.Hour)
	add("go1.26.8-old", "cache-go1.26.8-c", week)
	add("go1.26.8-older", "cache-go1.26.8-a", week)
	add("go1.27-old", "cache-go1.27-a", week)
	removeOthers(base, "go1.26.8", "key", io.Discard)
	var left []string
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{"cache-go1.26.8-a", "cache-go1.26.8-b", "cache-go1.26.8-host", "cache-go1.27-a", "go1.26.8-key", "go1.26.8-young", "go1.27-old"}
	if !slices.Equal(left, want) {
		t.Errorf("left: %q; want %q", left, want)
	}
}
