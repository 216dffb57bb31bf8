// Command matrix proves that the port works with every patch release of the supported Go
// releases: for each it fetches the release as the module golang.org/toolchain, builds the
// toolchain with yolk as a user does, boots examples and tests, and prints a row of a table. A
// row that has passed is kept until the port changes. Start reading at steps.go.
//
//	go run ./tools/matrix                     # all releases
//	go run ./tools/matrix -go 1.26.0,1.27.4   # some
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

func main() {
	var m matrix
	only := flag.String("go", "", "versions to try, as in 1.26.0,1.27.4 (default: all that can be had)")
	asJSON := flag.Bool("json", false, "print JSON instead of a table")
	flag.BoolVar(&m.again, "again", false, "try versions that have passed, too")
	flag.BoolVar(&m.keep, "keep", false, "keep the toolchains, 700 MB each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows, err := m.run(ctx, *only)
	if err == nil {
		err = printRows(rows, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
	for _, r := range rows {
		if r.Error != "" {
			os.Exit(1)
		}
	}
}

// matrix is one run of the command.
type matrix struct {
	again, keep bool
	yolk        string // path of the command under test
	work        string // folder of a module with the programs that are booted
	cache       string // folder of toolchains and results
}

func (m *matrix) run(ctx context.Context, only string) ([]row, error) {
	versions := strings.FieldsFunc(only, func(r rune) bool { return r == ',' || r == ' ' })
	for i, v := range versions {
		versions[i] = "go" + strings.TrimPrefix(v, "go")
	}
	if len(versions) == 0 {
		var err error
		if versions, err = available(ctx); err != nil {
			return nil, err
		}
	}
	base, err := toolchain.CacheDir()
	if err != nil {
		return nil, err
	}
	m.cache = filepath.Join(base, "matrix")
	if m.work, err = os.MkdirTemp("", "yolk-matrix-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.work)
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	var rows []row
	for _, v := range versions {
		r, err := m.version(ctx, v)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// version returns the row of one version, from an earlier run if it passed then with the same
// port.
func (m *matrix) version(ctx context.Context, version string) (row, error) {
	key, err := toolchain.Key(version)
	if err != nil {
		return row{}, err
	}
	kept := filepath.Join(m.cache, "passed", version+"-"+key+".json")
	var r row
	if text, err := os.ReadFile(kept); err == nil && !m.again && json.Unmarshal(text, &r) == nil {
		return r, nil
	}
	if r, err = m.try(ctx, version, key); err != nil || r.Error != "" {
		return r, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o777); err != nil {
		return r, err
	}
	return r, os.WriteFile(kept, text, 0o666)
}
