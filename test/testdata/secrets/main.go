// Command secrets prints what it was told in each way, and what others may know of it, and waits for
// the end of its input.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	fmt.Printf("args %q\nTOKEN %q\n", os.Args[1:], os.Getenv("TOKEN"))
	files, _ := filepath.Glob("/run/secrets/*")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			fmt.Println(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s %v %q\n", name, info.Mode(), text)
	}
	if info, err := os.Stat("/run/secrets"); err == nil {
		fmt.Println("folder", info.Mode())
	}
	line, _ := os.ReadFile("/proc/cmdline")
	fmt.Printf("command line %q\n", line)
	fmt.Println("waiting")
	io.Copy(io.Discard, os.Stdin)
}
