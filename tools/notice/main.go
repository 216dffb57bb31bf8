// Command notice writes the file NOTICE: the licenses of the modules that the machine in an image
// is built from. Run it when go.mod has changed:
//
//	go run ./tools/notice
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/bom"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

const head = `This file has the licenses of all that yolk puts into an image: its own, those of the Go
modules that the kernel, the drivers and the network stack are built from, and Go's. The licenses of a
program's own modules are theirs; yolk licenses IMAGE prints all.

golang.org/x/crypto/x509roots/fallback contains the list of certificate authorities of Mozilla's
CA certificate program, which is available under the Mozilla Public License 2.0
(https://www.mozilla.org/MPL/2.0/).
`

func main() {
	text, err := notice(context.Background())
	if err == nil {
		err = os.WriteFile("NOTICE", []byte(text), 0o666)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func notice(ctx context.Context) (string, error) {
	modules, err := toolchain.Modules(ctx, ".")
	if err != nil {
		return "", err
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	var entries []bom.Entry
	add := func(path, version, dir string) error {
		l, err := bom.Folder(dir)
		l.Files = slices.DeleteFunc(l.Files, func(f bom.File) bool { return dir == "." && f.Name == "NOTICE" }) // this file
		if err == nil && (len(l.Files) == 0 || len(l.IDs) == 0) {
			err = fmt.Errorf("%s: no license found", dir)
		}
		entries = append(entries, bom.Entry{Path: path, Version: version, License: l})
		return err
	}
	for _, m := range modules {
		version, dir := m.Version, "."
		if m.Sum == "" {
			version = "" // this module, in any version
		} else if dir, err = folder(ctx, m.Path, m.Version); err != nil {
			return "", err
		}
		if err := add(m.Path, version, dir); err != nil {
			return "", err
		}
	}
	if err := add("stdlib", "", strings.TrimSpace(string(goroot))); err != nil {
		return "", err
	}
	return bom.WriteNotice(head, entries), nil
}

// folder returns where the source of a module is.
func folder(ctx context.Context, path, version string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", path+"@"+version).Output()
	var m struct{ Dir, Error string }
	if e := json.Unmarshal(out, &m); e != nil && !errors.Is(e, io.EOF) {
		return "", errors.Join(err, e)
	}
	if m.Dir == "" {
		return "", fmt.Errorf("%s@%s: %s (%w)", path, version, m.Error, err)
	}
	return filepath.Clean(m.Dir), nil
}
