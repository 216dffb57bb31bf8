// Command onlyos uses what package os has, and imports no package that makes system calls itself.
package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
		}
	}
	p, err := os.FindProcess(os.Getpid())
	must(err)
	must(p.Release())
	dir, err := os.MkdirTemp("", "")
	must(err)
	root, err := os.OpenRoot(dir)
	must(err)
	f, err := root.Create("file")
	must(err)
	fmt.Fprintln(f, "text")
	must(f.Sync())
	must(f.Chmod(0o600))
	must(f.Truncate(3))
	must(root.Mkdir("sub", 0o700))
	must(root.Symlink("file", "sub/link"))
	must(root.Rename("file", "sub/file"))
	must(root.Chtimes("sub", time.Unix(1, 0), time.Unix(2, 0)))
	_, err = os.ReadDir(dir)
	must(err)
	to, err := root.Create("copy")
	must(err)
	f.Seek(0, io.SeekStart)
	_, err = io.Copy(to, f)
	must(err)
	r, w, err := os.Pipe()
	must(err)
	w.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(w, "x")
	r.Read(make([]byte, 1))
	_, err = os.Hostname()
	must(err)
	must(os.RemoveAll(dir))
	fmt.Println("done")
}
