package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// limits makes in args[0] a directory of args[1] entries, a sparse file of 100 GiB, 1,000 open files,
// and 64 concurrent writers.
func limits(args []string) {
	dir := args[0]
	entries, err := strconv.Atoi(args[1])
	check(err)
	manyEntries(filepath.Join(dir, "many"), entries)
	sparse(filepath.Join(dir, "sparse"))
	manyOpen(filepath.Join(dir, "open"))
	writers(filepath.Join(dir, "writers"))
}

func manyEntries(dir string, n int) {
	check(os.Mkdir(dir, 0o755))
	name := func(i int) string { return filepath.Join(dir, fmt.Sprintf("entry number %d", i)) }
	for i := range n {
		f, err := os.Create(name(i))
		check(err)
		check(f.Close())
	}
	for i := 0; i < n; i += n / 100 {
		if _, err := os.Stat(name(i)); err != nil {
			wrong("%v", err)
		}
	}
	f, err := os.Open(dir)
	check(err)
	seen := map[string]bool{}
	for {
		list, err := f.Readdirnames(1000)
		for _, s := range list {
			seen[s] = true
		}
		if err == io.EOF {
			break
		}
		check(err)
	}
	check(f.Close())
	fmt.Println("entries", len(seen))
	for i := 0; i < n; i += 2 {
		check(os.Remove(name(i)))
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != n/2 {
		wrong("%d entries are left, %v", len(list), err)
	}
}

func sparse(name string) {
	const size = 100 << 30
	f, err := os.Create(name)
	check(err)
	defer f.Close()
	for _, off := range []int64{0, size / 3, size - 5} {
		_, err = f.WriteAt([]byte("begin"), off)
		check(err)
	}
	check(f.Sync())
	st, err := f.Stat()
	check(err)
	b := make([]byte, 10)
	_, err = f.ReadAt(b[:9], size/3-2)
	check(err)
	fmt.Printf("sparse %d %q\n", st.Size(), b[:9])
	check(os.Remove(name))
}

func manyOpen(dir string) {
	check(os.Mkdir(dir, 0o755))
	var files []*os.File
	for i := range 1000 {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		check(err)
		_, err = f.WriteString(strconv.Itoa(i))
		check(err)
		files = append(files, f)
	}
	for i, f := range files {
		b := make([]byte, 10)
		if n, _ := f.ReadAt(b, 0); string(b[:n]) != strconv.Itoa(i) {
			wrong("open file %d has %q", i, b[:n])
		}
		check(f.Close())
	}
	fmt.Println("open", len(files))
}

func writers(dir string) {
	check(os.Mkdir(dir, 0o755))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			name := filepath.Join(dir, strconv.Itoa(i))
			data := text(name, 500_000+i)
			f, err := os.Create(name)
			check(err)
			for off := 0; off < len(data); off += 10_000 {
				_, err := f.WriteAt(data[off:min(off+10_000, len(data))], int64(off))
				check(err)
				if off%100_000 == 0 {
					check(f.Sync())
				}
			}
			check(f.Close())
			if b, err := os.ReadFile(name); err != nil || string(b) != string(data) {
				wrong("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	fmt.Println("writers 64")
}
