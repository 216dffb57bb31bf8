// Command plain spins in a program that has as little as possible, for TestAskPlain.
package main

import "os"

func main() {
	os.Stdout.WriteString("up\n")
	spin()
}

//go:noinline
func spin() {
	for n := 0; ; n++ {
	}
}
