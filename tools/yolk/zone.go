package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/initfs"
)

// zoneFolder is where programs look for the time zone that the variable TZ names (tzset(3)).
const zoneFolder = "/usr/share/zoneinfo/"

// findZone gives the guest the file of the time zone that its variable TZ names: an image has no time
// zones unless its program calls time.LoadLocation.
func (v *vmFlags) findZone(ctx context.Context) error {
	name := ""
	for _, kv := range lastWins(v.env) {
		if value, ok := strings.CutPrefix(kv, "TZ="); ok {
			name = strings.TrimPrefix(value, ":")
		}
	}
	if name == "" || name == "UTC" || name[0] == '/' || v.hasFile(zoneFolder+name) {
		return nil
	}
	if !filepath.IsLocal(name) {
		return fmt.Errorf("TZ=%s: want the name of a time zone, such as Europe/Rome", name)
	}
	data, err := os.ReadFile(filepath.Join(zoneFolder, name))
	if err != nil {
		data, err = zoneOfGo(ctx, name)
	}
	if err != nil || !bytes.HasPrefix(data, []byte("TZif")) {
		return fmt.Errorf("TZ=%s: there is no such time zone in %s or in Go's distribution; give the guest its file with -files FILE:%s%s", name, zoneFolder, zoneFolder, name)
	}
	v.zone = []initfs.Text{{Guest: zoneFolder + name, Data: data, Public: true}}
	return nil
}

// hasFile reports whether -files or -v gives the guest a path, or a folder that may have it.
func (v *vmFlags) hasFile(path string) bool {
	for _, f := range v.files {
		if f.Guest == path || strings.HasPrefix(path, strings.TrimSuffix(f.Guest, "/")+"/") && exists(filepath.Join(f.Host, strings.TrimPrefix(path, f.Guest))) {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// zoneOfGo reads a zone from lib/time/zoneinfo.zip of the Go distribution.
func zoneOfGo(ctx context.Context, name string) ([]byte, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
