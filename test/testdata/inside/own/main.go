// Command own takes a CPU profile of itself and traces itself, until it reads a line, for TestAskOwn; then it says
// what it can take.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"runtime/trace"
)

func main() {
	fmt.Println("profile", pprof.StartCPUProfile(io.Discard))
	fmt.Println("trace", trace.Start(io.Discard))
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	pprof.StopCPUProfile()
	trace.Stop()
	fmt.Println("stopped")
	for lines.Scan() {
		switch lines.Text() {
		case "profile":
			err := pprof.StartCPUProfile(io.Discard)
			fmt.Println("profile again", err)
			if err == nil {
				pprof.StopCPUProfile()
			}
		case "trace":
			fmt.Println("trace again", trace.Start(io.Discard))
			trace.Stop()
		}
	}
}
