package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

func TestChoose(t *testing.T) {
	releases := []toolchain.Release{{Name: "go1.26"}, {Name: "go1.27"}}
	got := choose(`golang.org/toolchain v0.0.1-go1.25.1.linux-amd64 v0.0.1-go1.26.2.linux-amd64 v0.0.1-go1.26.10.linux-amd64
v0.0.1-go1.26.3.linux-arm64 v0.0.1-go1.26rc1.linux-amd64 v0.0.1-go1.27.0.linux-amd64`, releases)
	if want := []string{"go1.27.0", "go1.26.10", "go1.26.2"}; !slices.Equal(got, want) {
		t.Errorf("choose = %q; want %q", got, want)
	}
}

func TestCells(t *testing.T) {
	r := row{Seconds: map[string]float64{"fetch": 1, "toolchain": 62.4, "hello": 3}, Error: "hello: status 1"}
	if got, want := r.cells(), "ok 1 s\tok 62 s\tFAIL\t-\t-\t-\t-\t-\t"; got != want {
		t.Errorf("cells = %q; want %q", got, want)
	}
}

// A version that has passed is not tried again until the port changes.
func TestPassedIsKept(t *testing.T) {
	dir := t.TempDir()
	key, err := toolchain.Key("go1.26.8")
	if err != nil {
		t.Fatal(err)
	}
	want := row{Go: "go1.26.8", Port: key, Edited: 1}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "passed"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "passed", "go1.26.8-"+key+".json"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	m := &matrix{cache: dir}
	if got, err := m.version(t.Context(), "go1.26.8"); err != nil || got.Edited != 1 {
		t.Errorf("version = %+v, %v; want %+v", got, err, want)
	}
	if _, err := m.version(t.Context(), "go1.25.0"); err == nil || !strings.Contains(err.Error(), "supports") {
		t.Errorf("go1.25.0: %v; want what is supported", err)
	}
}
