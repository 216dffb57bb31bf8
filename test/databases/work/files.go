package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

func init() { stores["files"] = openFiles }

// fileStore is a folder of a few files that are replaced in turn, each by a new file that is written
// under another name, synced and renamed.
type fileStore struct {
	path string
	dir  *os.File
}

const files = 5

func openFiles(path string) (store, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := parent.Sync(); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	return fileStore{path, dir}, err
}

func (s fileStore) close() error { return s.dir.Close() }

func (s fileStore) name(n int) string { return filepath.Join(s.path, "file"+strconv.Itoa(n%files)) }

// content is the content of a file after change n.
func content(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "change %d\n", n), 1+n*7919%900)
}

func (s fileStore) change(n int) error {
	name := s.name(n)
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content(n))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return s.dir.Sync()
}

// state: file i has the last change whose number is i modulo the number of files.
func (s fileStore) state() (n int, err error) {
	have := map[int]int{} // change that each file has
	for i := range files {
		b, err := os.ReadFile(s.name(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		var v int
		if _, err := fmt.Sscanf(string(b), "change %d\n", &v); err != nil || v%files != i || !bytes.Equal(b, content(v)) {
			return n, fmt.Errorf("file%d has %d bytes, which begin %.40q", i, len(b), b)
		}
		have[i] = v
		n = max(n, v)
	}
	for v := max(1, n-files+1); v <= n; v++ {
		if have[v%files] != v {
			return n, fmt.Errorf("file%d has change %d, though change %d was made after change %d", v%files, have[v%files], n, v)
		}
	}
	return n, nil
}
