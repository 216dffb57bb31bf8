// Command distance prints how far the port is from upstream Go: the lines
// edited in upstream files and the lines in added files. A test holds the
// budget (tools/internal/toolchain).
//
//	go run ./tools/distance
package main

import (
	"fmt"
	"os"
	"sort"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

func main() {
	edits, err := toolchain.PortEdits()
	if err != nil {
		fmt.Fprintln(os.Stderr, "distance:", err)
		os.Exit(1)
	}
	files, err := toolchain.PortFiles()
	if err != nil {
		fmt.Fprintln(os.Stderr, "distance:", err)
		os.Exit(1)
	}
	edited := 0
	for _, f := range edits {
		fmt.Printf("%5d edited  %s\n", f.Lines(), f.Path)
		edited += f.Lines()
	}
	names := make([]string, 0, len(files))
	added := 0
	for name, lines := range files {
		names = append(names, name)
		added += lines
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("%5d added   %s\n", files[name], name)
	}
	fmt.Printf("%d lines edited in %d upstream files (budget %d), %d lines in %d added files\n",
		edited, len(edits), toolchain.Budget, added, len(files))
}
