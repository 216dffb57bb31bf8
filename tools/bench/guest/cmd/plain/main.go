// Command plain is the benchmark's program as an ordinary one, for yolk.
package main

import "github.com/yolk-unikernel/yolk/tools/bench/guest/app"

func main() { app.Main() }
