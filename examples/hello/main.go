// Command hello prints the system it runs on, its arguments and environment, and ends.
//
//	yolk run ./examples/hello -- one two
//	yolk run -e NAME=you ./examples/hello
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
)

func main() {
	name := "world"
	if v := os.Getenv("NAME"); v != "" {
		name = v
	}
	fmt.Printf("hello, %s, from %s on %s/%s with %d CPU(s)\n", name, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Println("arguments:", os.Args[1:])
	env := os.Environ()
	slices.Sort(env)
	fmt.Println("environment:", env)
}
