// Command editedstack makes the copy of gVisor that images have (netstack/gvisor) as a module below a
// folder and prints the name of a go.mod that uses it, for the go command's -modfile:
//
//	go run -modfile=$(go run ./tools/editedstack /tmp/edited) ./tools/abidiff -families internet
package main

import (
	"fmt"
	"os"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "editedstack:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: go run ./tools/editedstack DIR, in the root of this module")
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	modfile, err := toolchain.EditedModule(os.Args[1], root)
	if err == nil {
		fmt.Println(modfile)
	}
	return err
}
