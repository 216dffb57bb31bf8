// Command setid tries to make set-user-ID files in a folder, in each way, and to read through its links.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	dir := os.Args[1]
	show := func(what string, err error) {
		if e, ok := err.(*os.PathError); ok {
			err = e.Err
		}
		fmt.Printf("%s: %v\n", what, err)
	}
	fd, err := syscall.Open(filepath.Join(dir, "created"), syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o4755)
	show("create", err)
	if err == nil {
		syscall.Close(fd)
	}
	name := filepath.Join(dir, "file")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o755)
	show("plain", err)
	if err != nil {
		return
	}
	show("chmod", os.Chmod(name, 0o755|os.ModeSetuid))
	show("fchmod", f.Chmod(0o755|os.ModeSetgid))
	show("unset", os.Chmod(name, 0o700))
	for _, link := range []string{"absolute", "relative"} {
		text, err := os.ReadFile(filepath.Join(dir, link, "hidden"))
		fmt.Printf("%s %q %v\n", link, text, err)
	}
}
