package zoneinfo

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// distribution returns the archive of the Go distribution.
func distribution(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goroot(t), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// with makes s the archive for a test.
func with(t testing.TB, s string) {
	old := archive
	archive = s
	t.Cleanup(func() { archive = old })
}

// Every zone is what package archive/zip reads, and package time understands it.
func TestLoad(t *testing.T) {
	all := distribution(t)
	with(t, all)
	r, err := zip.NewReader(strings.NewReader(all), int64(len(all)))
	if err != nil {
		t.Fatal(err)
	}
	zones := 0
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(f.Name)
		if err != nil || got != string(want) {
			t.Errorf("Load(%q) = %d bytes, %v; want %d", f.Name, len(got), err, len(want))
		}
		if _, err := time.LoadLocationFromTZData(f.Name, []byte(got)); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		zones++
	}
	if zones < 300 {
		t.Errorf("the archive has %d zones", zones)
	}
}

func TestUnknown(t *testing.T) {
	with(t, distribution(t))
	for _, name := range []string{"", "Europe/Atlantis", "Europe/Rom", "Europe/Rome2", "europe/rome", "../Europe/Rome", "/Europe/Rome"} {
		if got, err := Load(name); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("Load(%q) = %d bytes, %v; want ENOENT", name, len(got), err)
		}
	}
}

// An archive that another toolchain has made otherwise, or none, is refused: package
// time then looks elsewhere.
func TestDamaged(t *testing.T) {
	all := distribution(t)
	change := func(at int, b ...byte) string { return all[:at] + string(b) + all[at+len(b):] }
	end := len(all) - endSize
	with(t, all)
	directory := u32(end + 16)
	for name, s := range map[string]string{
		"empty":             "",
		"short":             all[:endSize-1],
		"cut":               all[:len(all)-1],
		"with a comment":    all + "!",
		"another directory": change(end+16, 0, 0, 0, 0),
		"another file":      change(directory+42, 1, 0, 0, 0),
		"compressed":        change(directory+10, 8, 0),
	} {
		archive = s
		first := all[directory+centralSize:][:int(all[directory+28])]
		if got, err := Load(first); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: Load(%q) = %d bytes, %v; want EINVAL", name, first, len(got), err)
		}
	}
}

// goroot returns where the Go distribution is.
func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
