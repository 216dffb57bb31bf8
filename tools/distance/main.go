// Command distance prints how far the port is from upstream Go: the lines edited in upstream
// files, for each supported release, and the lines in added files. A test enforces the budget
// (tools/internal/toolchain).
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
	if err := report(); err != nil {
		fmt.Fprintln(os.Stderr, "distance:", err)
		os.Exit(1)
	}
}

func report() error {
	releases, err := toolchain.Releases()
	if err != nil {
		return err
	}
	files, err := toolchain.PortFiles()
	if err != nil {
		return err
	}
	var sums []string
	shown := map[string]bool{}
	for _, r := range releases {
		edits, err := toolchain.PortEdits(r.Name)
		if err != nil {
			return err
		}
		edited := 0
		for _, f := range edits {
			if key := fmt.Sprint(f); !shown[key] { // most are the same for all releases
				fmt.Printf("%5d edited  %s\n", f.Lines(), f.Path)
				shown[key] = true
			}
			edited += f.Lines()
		}
		sums = append(sums, fmt.Sprintf("%s: %d lines edited in %d upstream files (budget %d)",
			r.Name, edited, len(edits), toolchain.Budget))
	}
	printAdded(files)
	for _, s := range sums {
		fmt.Println(s)
	}
	return nil
}

func printAdded(files map[string]int) {
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
	fmt.Printf("%d lines in %d added files\n", added, len(files))
}
