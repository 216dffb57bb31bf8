// Command constraints prints the files of its package that the go command has taken.
package main

import (
	"fmt"
	"runtime"
	"slices"
)

var taken []string

func main() {
	slices.Sort(taken)
	fmt.Println(runtime.GOOS, taken, define())
}

// define returns 1 if the assembler was told GOOS_linux.
func define() int
