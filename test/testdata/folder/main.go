// Command folder works on a folder of the host, and on any other: each case but refused is
// also true on Linux. A line that begins with "wrong" is a mistake.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

var cases = map[string]func(dir string, args []string){
	"files": files, "host": host, "readonly": readOnly, "list": list, "copy": copyFile,
	"parallel": parallel, "show": show, "speed": speed, "refused": refused,
}

func main() {
	cases[os.Args[1]](os.Args[2], os.Args[3:])
	fmt.Println("done")
}

func wrong(format string, args ...any) { fmt.Printf("wrong: "+format+"\n", args...) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// atStart is read before main begins, to show that the folder is mounted by then.
var atStart = func() string {
	if len(os.Args) < 3 {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(os.Args[2], "greeting"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}()

// show prints atStart and the files of a folder.
func show(dir string, _ []string) {
	fmt.Printf("greeting %q\n", atStart)
	entries, err := os.ReadDir(dir)
	check(err)
	for _, e := range entries {
		fmt.Println("entry", e)
	}
	mounts, err := os.ReadFile("/proc/mounts")
	check(err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " 9p ") {
			fmt.Print(line)
		}
	}
}

// host exchanges files with the test, which changes the folder meanwhile.
func host(dir string, _ []string) {
	name := filepath.Join(dir, "shared")
	open, err := os.Open(name) // stays open
	check(err)
	last := ""
	for step := 0; step < 3; {
		b, err := os.ReadFile(name)
		check(err)
		if string(b) == last || len(b) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		last = string(b)
		info, err := os.Stat(name)
		check(err)
		again := make([]byte, 64)
		n, _ := open.ReadAt(again, 0)
		_, err = os.Stat(filepath.Join(dir, fmt.Sprint("new", step)))
		fmt.Printf("step %d: %q size %d open %q new %v\n", step, b, info.Size(), again[:n], err == nil)
		check(os.WriteFile(filepath.Join(dir, fmt.Sprint("seen", step)), b, 0o600))
		step++
	}
}

// list makes n files and lists them.
func list(dir string, args []string) {
	var n int
	fmt.Sscan(args[0], &n)
	for i := range n {
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("file number %d", i)), nil, 0o644))
	}
	f, err := os.Open(dir)
	check(err)
	defer f.Close()
	for range 2 {
		seen := map[string]bool{}
		for {
			names, err := f.Readdirnames(100)
			for _, name := range names {
				if seen[name] {
					wrong("%s comes twice", name)
				}
				seen[name] = true
			}
			if err == io.EOF {
				break
			}
			check(err)
		}
		fmt.Println("entries", len(seen))
		_, err := f.Seek(0, io.SeekStart)
		check(err)
	}
}

// copyFile copies a file and prints the sum of the copy, which it reads again.
func copyFile(from string, args []string) {
	in, err := os.Open(from)
	check(err)
	out, err := os.Create(args[0])
	check(err)
	start := time.Now()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
	check(err)
	check(out.Close())
	fmt.Fprintf(os.Stderr, "%.1f MB/s\n", float64(n)/1e6/time.Since(start).Seconds())
	back, err := os.Open(args[0])
	check(err)
	_, err = io.Copy(sum, back)
	check(err)
	fmt.Printf("copied %d sum %x\n", n, sum.Sum(nil))
}

// parallel runs n goroutines, each with files of its own and one file to which all append.
func parallel(dir string, args []string) {
	var n int
	fmt.Sscan(args[0], &n)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	check(err)
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			for i := range 20 {
				name := filepath.Join(dir, fmt.Sprintf("%d-%d", g, i))
				data := strings.Repeat(name, 1+i*i*10)
				check(os.WriteFile(name, []byte(data), 0o644))
				b, err := os.ReadFile(name)
				check(err)
				if string(b) != data {
					wrong("%s holds %d bytes; want %d", name, len(b), len(data))
				}
				_, err = fmt.Fprintf(log, "%4d %4d\n", g, i)
				check(err)
				if i%2 == 0 {
					check(os.Remove(name))
				} else {
					check(os.Rename(name, name+".done"))
				}
			}
		})
	}
	wg.Wait()
	check(log.Close())
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	check(err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		seen[line] = true
	}
	names, err := os.ReadDir(dir)
	check(err)
	fmt.Println("lines", len(seen), "names", len(names))
}

// speed measures reading and writing in large pieces, and small files.
func speed(dir string, _ []string) {
	const size = 64 << 20
	name := filepath.Join(dir, "large")
	piece := make([]byte, 1<<20)
	rate := func(what string, f func(*os.File) error) {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		check(err)
		start := time.Now()
		for range size / len(piece) {
			check(f(file))
		}
		fmt.Printf("%s %.0f MB/s\n", what, size/1e6/time.Since(start).Seconds())
		file.Close()
	}
	rate("write", func(f *os.File) error { _, err := f.Write(piece); return err })
	rate("read", func(f *os.File) error { _, err := io.ReadFull(f, piece); return err })
	small := filepath.Join(dir, "small")
	check(os.WriteFile(small, piece[:4096], 0o644))
	const rounds = 2000
	buf := make([]byte, 4096)
	start := time.Now()
	for range rounds {
		f, err := os.Open(small)
		check(err)
		_, err = io.ReadFull(f, buf)
		check(err)
		f.Close()
	}
	fmt.Printf("open+read+close %.0f per second\n", rounds/time.Since(start).Seconds())
	start = time.Now()
	for range rounds {
		_, err := os.Stat(small)
		check(err)
	}
	fmt.Printf("stat %.0f per second\n", rounds/time.Since(start).Seconds())
}
