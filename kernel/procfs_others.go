package kernel

import (
	"slices"
	"strings"
	"syscall"
)

// Files are a part of /proc or /sys that another package makes. Paths are relative to its folder.
type Files interface {
	// Paths lists the files. It may change at any time.
	Paths() []string
	// Read returns the content of one of Paths.
	Read(path string) []byte
	// Writable reports whether one of Paths is a setting that Write can change.
	Writable(path string) bool
	// Write changes a setting. Its error is that of write(2).
	Write(path string, p []byte) syscall.Errno
}

// SetFiles makes files the content of a folder of /proc or /sys, such as "/proc/net". Nothing is done
// until somebody looks.
func (k *Kernel) SetFiles(folder string, files Files) {
	k.withTree(func() {
		fs, dir := k.vfs.sysFS, strings.TrimPrefix(folder, "/sys/")
		dirs := []string{dir}
		if rest, ok := strings.CutPrefix(folder, "/proc/"); ok {
			fs, dirs = k.vfs.procFS, []string{rest}
			if rest == "net" {
				dirs = []string{"1/net", "1/task/1/net"}
			}
		}
		fs.mu.Lock()
		defer fs.mu.Unlock()
		for _, path := range dirs {
			d := fs.dir(path)
			clear(d.names)
			fs.show(d, files, "")
		}
	})
}

// show makes a directory show the files whose paths begin with prefix.
func (fs *genFS) show(d *genDir, files Files, prefix string) {
	d.list = func() []string {
		var names []string
		for _, p := range files.Paths() {
			if rest, ok := strings.CutPrefix(p, prefix); ok {
				name, _, _ := strings.Cut(rest, "/")
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		return names
	}
	d.dynamic = func(name string) (Inode, syscall.Errno) {
		path := prefix + name
		for _, p := range files.Paths() {
			switch {
			case p == path:
				return fs.otherFile(files, path), 0
			case strings.HasPrefix(p, path+"/"):
				sub := &genDir{genNode: genNode{fs: fs, ino: hashName(fs.kind + path), mode: syscall.S_IFDIR | 0o555}}
				fs.show(sub, files, path+"/")
				return sub, 0
			}
		}
		return nil, syscall.ENOENT
	}
}

func (fs *genFS) otherFile(files Files, path string) *genFile {
	mode := uint32(syscall.S_IFREG | 0o444)
	var write func(*Kernel, []byte) syscall.Errno
	if files.Writable(path) {
		mode |= 0o200
		write = func(_ *Kernel, p []byte) syscall.Errno { return files.Write(path, p) }
	}
	f := fs.newFile(genNode{fs: fs, ino: hashName(fs.kind + path), mode: mode}, func(_ *Kernel, b []byte) []byte { return append(b, files.Read(path)...) }, write)
	f.changes = &fs.constant
	return f
}
