package main

import (
	"context"
	"fmt"
	goversion "go/version"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

// available returns the patch releases of the supported releases that the go command can fetch,
// newest first.
func available(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-versions", "golang.org/toolchain")
	cmd.Dir = os.TempDir() // outside of any module
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m -versions golang.org/toolchain: %w; name the versions with -go", err)
	}
	releases, err := toolchain.Releases()
	if err != nil {
		return nil, err
	}
	return choose(string(out), releases), nil
}

// choose selects the patch releases for linux/amd64 from the versions of the module
// golang.org/toolchain, such as v0.0.1-go1.26.8.linux-amd64.
func choose(list string, releases []toolchain.Release) []string {
	var found []string
	for _, word := range strings.Fields(list) {
		v, ok := strings.CutSuffix(strings.TrimPrefix(word, "v0.0.1-"), ".linux-amd64")
		if ok && slices.ContainsFunc(releases, func(r toolchain.Release) bool { return r.Has(v) }) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return goversion.Compare(b, a) })
	return found
}
