// Command smoke ends with a status of its own: 5 and one for each argument.
package main

import "os"

func main() { os.Exit(5 + len(os.Args[1:])) }
