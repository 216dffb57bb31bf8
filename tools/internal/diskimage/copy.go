package diskimage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
)

// copySize is how much of a file is copied at once; pieces of zeroes become holes.
const copySize = 1 << 20

// inode identifies a file of the host.
type inode struct{ dev, ino uint64 }

// copier copies a folder. All files belong to root, the user of the program; modes, times, links
// and users' extended attributes are copied.
type copier struct {
	disk  *ext4.FS
	o     *Options
	links map[inode]*ext4.Inode // files with several names
	buf   []byte
	files int
}

// all copies the content of Options.From to the disk's root.
func (c *copier) all() error {
	root, e := c.disk.Root()
	if e != 0 {
		return e
	}
	defer root.Put()
	info, err := os.Stat(c.o.From)
	if err == nil {
		err = c.dir(c.o.From, root, info)
	}
	for _, i := range c.links {
		i.Put()
	}
	return err
}

// dir copies a directory's entries to the directory to, and then its attributes.
func (c *copier) dir(path string, to *ext4.Inode, info fs.FileInfo) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		c.o.Skipped(path, err)
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := os.Lstat(name)
		if err != nil {
			c.o.Skipped(name, err)
			continue
		}
		if err := c.entry(name, to, info); err != nil {
			return fmt.Errorf("copying %s: %w", name, err)
		}
	}
	return c.attributes(path, to, info)
}

// entry copies one file of any type.
func (c *copier) entry(path string, to *ext4.Inode, info fs.FileInfo) error {
	sys := info.Sys().(*syscall.Stat_t)
	id := inode{sys.Dev, sys.Ino}
	if old := c.links[id]; old != nil {
		return errOf(to.Link(info.Name(), old))
	}
	c.files++
	if info.Mode().Type() == fs.ModeSymlink {
		return c.symlink(path, to, info)
	}
	var from *os.File
	if info.Mode().IsRegular() {
		var err error
		if from, err = os.Open(path); err != nil {
			c.files--
			c.o.Skipped(path, err)
			return nil
		}
		defer from.Close()
	}
	i, e := to.Create(info.Name(), sys.Mode, 0, 0, sys.Rdev)
	if e != 0 {
		return e
	}
	if sys.Nlink > 1 && !info.IsDir() {
		c.links[id] = i
	} else {
		defer i.Put()
	}
	switch {
	case info.IsDir():
		return c.dir(path, i, info)
	case from != nil:
		if err := c.content(from, i); err != nil {
			return err
		}
	}
	return c.attributes(path, i, info)
}

func (c *copier) symlink(path string, to *ext4.Inode, info fs.FileInfo) error {
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	i, e := to.Symlink(info.Name(), target, 0, 0)
	if e != 0 {
		return e
	}
	defer i.Put()
	t := clampTime(info.ModTime())
	return errOf(i.SetAttr(ext4.SetAtime|ext4.SetMtime, ext4.Attr{Atime: t, Mtime: t}))
}

// content copies a file's bytes.
func (c *copier) content(from *os.File, i *ext4.Inode) error {
	const block = 4096
	size := int64(0)
	for {
		n, err := io.ReadFull(from, c.buf)
		if err == io.EOF {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		whole := (n + block - 1) &^ (block - 1)
		clear(c.buf[n:whole])
		off := size
		size += int64(n)
		if !isZero(c.buf[:whole]) {
			if e := i.WriteData([][]byte{c.buf[:whole]}, off, size); e != 0 {
				return e
			}
		}
		if n < len(c.buf) {
			break
		}
	}
	if size == i.Attr().Size {
		return nil
	}
	return errOf(i.Truncate(size)) // the file ends in a hole
}

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// attributes copies mode, times and extended attributes.
func (c *copier) attributes(path string, i *ext4.Inode, info fs.FileInfo) error {
	sys := info.Sys().(*syscall.Stat_t)
	if info.IsDir() || info.Mode().IsRegular() {
		if err := c.xattrs(path, i); err != nil {
			return err
		}
	}
	t := clampTime(info.ModTime())
	return errOf(i.SetAttr(ext4.SetMode|ext4.SetAtime|ext4.SetMtime, ext4.Attr{Mode: sys.Mode, Atime: t, Mtime: t}))
}

// xattrs copies the extended attributes that are valid on another system.
func (c *copier) xattrs(path string, i *ext4.Inode) error {
	return hostXattrs(path, func(name string, value []byte, err error) error {
		if err == nil {
			err = errOf(i.SetXattr(name, value, 0))
		}
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			c.o.Skipped(path+": attribute "+name, err)
			err = nil
		}
		return err
	})
}

// hostXattrs calls f for the extended attributes of a file, xattr(7), that are valid on another
// system, each with its value or the error of reading it.
func hostXattrs(path string, f func(name string, value []byte, err error) error) error {
	list := make([]byte, 64<<10)
	n, err := syscall.Listxattr(path, list)
	if err != nil {
		return nil // the host's file system has none
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" {
			continue
		}
		n, err := syscall.Getxattr(path, name, value)
		if err := f(name, value[:max(n, 0)], err); err != nil {
			return err
		}
	}
	return nil
}

func errOf(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}
