package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// text is the content of a file, determined by its name and length.
func text(name string, n int) []byte {
	line := name + " has lines like this one\n"
	return []byte(strings.Repeat(line, n/len(line)+1)[:n])
}

// writeFiles makes files of many sizes in dir, one directory per ten files, syncs one of them, and ends
// as args[1] says.
func writeFiles(args []string) {
	dir, end := args[0], args[1]
	for i := range 50 {
		sub := filepath.Join(dir, fmt.Sprint("dir", i/10))
		check(os.MkdirAll(sub, 0o755))
		name := filepath.Join(sub, fmt.Sprint("file", i))
		check(os.WriteFile(name, text(filepath.Base(name), i*i*700), 0o644))
	}
	os.Remove(filepath.Join(dir, "link")) // of an earlier run
	check(os.Symlink("dir1/file15", filepath.Join(dir, "link")))
	check(os.Rename(filepath.Join(dir, "dir4/file49"), filepath.Join(dir, "moved")))
	check(os.Remove(filepath.Join(dir, "dir0/file3")))
	check(os.Truncate(filepath.Join(dir, "dir2/file25"), 1000))
	f, err := os.Create(filepath.Join(dir, "synced"))
	check(err)
	_, err = f.Write(text("synced", 123_456))
	check(err)
	check(f.Sync())
	check(f.Close())
	finish(end)
}

// finish ends the program in one of many ways.
func finish(how string) {
	fmt.Println("written")
	switch how {
	case "return":
	case "exit":
		os.Exit(7)
	case "panic":
		panic("as the test wants it")
	case "fault":
		*(*int)(nil) = 1
	case "goroutine": // while other goroutines run
		go func() { panic("as the test wants it") }()
		for i := 0; ; i++ {
			check(os.WriteFile("/tmp/other", text("other", i%10_000), 0o644))
		}
	case "fatal":
		new(sync.Mutex).Unlock()
	case "signal":
		select {} // the test sends one
	case "handled":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM, os.Interrupt)
		fmt.Println("waiting")
		fmt.Println(<-c)
	case "later": // the test acts meanwhile
		time.Sleep(3 * time.Second)
		os.Exit(3)
	case "reboot":
		check(syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
	case "hang":
		fmt.Println("hanging")
		time.Sleep(time.Hour)
	}
}

// readFiles checks the files of writeFiles; with "synced", only the file that was synced.
func readFiles(args []string) {
	dir := args[0]
	expect := func(name string, want []byte) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(b) != string(want) {
			wrong("%s holds %d bytes, %v; want %d", name, len(b), err, len(want))
		}
	}
	expect("synced", text("synced", 123_456))
	if len(args) > 1 {
		return
	}
	for i := range 50 {
		base := fmt.Sprint("file", i)
		name, want := fmt.Sprintf("dir%d/%s", i/10, base), text(base, i*i*700)
		switch i {
		case 3:
			continue
		case 25:
			want = want[:1000]
		case 49:
			name = "moved"
		}
		expect(name, want)
	}
	expect("link", text("file15", 15*15*700))
	count := 0
	check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			count++
		}
		return err
	}))
	fmt.Println("files", count)
}

// tree prints the sums of all regular files below dir.
func tree(args []string) {
	check(filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Printf("%s %d %x\n", path, len(b), sha256.Sum256(b))
		return err
	}))
}

// fillUp writes to a file until there is no space, and removes it.
func fillUp(args []string) {
	name := filepath.Join(args[0], "large")
	f, err := os.Create(name)
	check(err)
	n, piece := 0, text("large", 300_000)
	for err == nil {
		_, err = f.WriteAt(piece, int64(n)*300_000)
		n++
	}
	fmt.Println(err)
	check(f.Sync())
	b, err := os.ReadFile(name)
	check(err)
	if n < 20 || !strings.HasPrefix(string(b[19*300_000:]), string(piece)) {
		wrong("after %d pieces the file has %d bytes", n, len(b))
	}
	check(f.Close())
	check(os.Remove(name))
}

// show prints lines of files that begin with a word, as FILE:WORD.
func show(args []string) {
	for _, a := range args {
		name, word, _ := strings.Cut(a, ":")
		f, err := os.Open(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), word) {
				fmt.Println(lines.Text())
			}
		}
		f.Close()
	}
}

// change makes and removes a file in dir, which may not be allowed.
func change(args []string) {
	name := filepath.Join(args[0], "new")
	fmt.Println("write:", os.WriteFile(name, []byte("new"), 0o600))
	fmt.Println("remove:", os.Remove(name))
}
