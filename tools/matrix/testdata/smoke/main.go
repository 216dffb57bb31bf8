// Command smoke exits with 5 plus the number of its arguments.
package main

import "os"

func main() { os.Exit(5 + len(os.Args[1:])) }
