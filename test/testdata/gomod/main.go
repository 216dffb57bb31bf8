// Command gomod is a program in a module of its own, for the tests of the plain
// go command.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("go run works", os.Args[1:], os.Getenv("FOO"))
	b, err := os.ReadFile("testdata/greeting.txt")
	fmt.Printf("%s%v\n", b, err)
}

// Double is the function under test.
func Double(n int) int { return 2 * n }
