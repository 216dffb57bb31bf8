package test

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The same source gives the same image in another folder, with another build cache and another build
// of the toolchain.
func TestSameBits(t *testing.T) {
	t.Parallel()
	root := vm.Root(t)
	build := func(dir string, env ...string) []byte {
		if err := os.CopyFS(filepath.Join(dir, "cmd/web"), os.DirFS(filepath.Join(root, "examples/web"))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/site\n\ngo 1.26\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := vm.Yolk(t, vm.Options{Dir: dir, Env: env, Timeout: 15 * time.Minute}, "build", "-o", "web.elf", "./cmd/web"); got.Status != 0 {
			t.Fatalf("yolk build: %+v", got)
		}
		image, err := os.ReadFile(filepath.Join(dir, "web.elf"))
		if err != nil {
			t.Fatal(err)
		}
		checkParts(t, image, filepath.Join(dir, "web.elf"))
		for _, path := range []string{dir, root} {
			if bytes.Contains(image, []byte(path)) {
				t.Errorf("the image names the folder %s", path)
			}
		}
		return image
	}
	one := build(t.TempDir())
	two := build(filepath.Join(t.TempDir(), "another/folder/with/a/longer/name"), "YOLK_CACHE="+t.TempDir())
	if !bytes.Equal(one, two) {
		t.Errorf("the images differ: %d and %d bytes", len(one), len(two))
	}
}

// checkParts wants the modules of the machine in an image's build information, as a scanner reads it,
// and their licenses and entries in both kinds of bill of materials.
func checkParts(t *testing.T, image []byte, file string) {
	t.Helper()
	info, err := buildinfo.Read(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, m := range info.Deps {
		versions[m.Path] = m.Version
	}
	if versions["github.com/yolk-unikernel/yolk"] != yolk.Version || !strings.HasPrefix(versions["gvisor.dev/gvisor"], "v0.0.0-") {
		t.Errorf("the build information names %v; want yolk %s and gVisor", versions, yolk.Version)
	}
	got := vm.Yolk(t, vm.Options{Dir: filepath.Dir(file)}, "licenses", "-json", file)
	var parts []struct {
		Path, Version, Sum string
		License            struct{ IDs []string }
	}
	if err := json.Unmarshal([]byte(got.Stdout), &parts); err != nil {
		t.Fatalf("yolk licenses: %v: %+v", err, got)
	}
	if got.Status != 1 || !strings.Contains(got.Stderr, "example.com/site") { // it has no license file
		t.Errorf("yolk licenses: exit status %d, %s", got.Status, got.Stderr)
	}
	for _, p := range parts[1:] {
		if len(p.License.IDs) == 0 || p.Sum == "" && p.Path != "stdlib" && p.Path != "github.com/yolk-unikernel/yolk" {
			t.Errorf("%+v lacks a license or a checksum; after a change of go.mod: go run ./tools/notice", p)
		}
	}
	got = vm.Yolk(t, vm.Options{}, "audit", file)
	if got.Status != 0 || strings.Contains(got.Stdout, "FAILS") || !strings.Contains(got.Stdout, " r-x program image\n") {
		t.Errorf("yolk audit: %+v", got)
	}
	for _, format := range []string{"cyclonedx", "spdx"} {
		got := vm.Yolk(t, vm.Options{Dir: filepath.Dir(file)}, "sbom", "-format", format, file)
		for path, version := range versions {
			if url := "pkg:golang/" + path + "@" + version; got.Status != 0 || !strings.Contains(got.Stdout, url) {
				t.Errorf("%s lacks %s: %d, %s", format, url, got.Status, got.Stderr)
			}
		}
	}
}
