package initfs

import (
	"fmt"
	"io"
	"strings"
)

// File type bits of a mode, inode(7).
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
)

// entry is one member of an archive.
type entry struct {
	name  string // without a leading slash
	mode  uint32
	mtime int64
	size  int64
}

// archive writes the "newc" format (cpio(5), "New ASCII Format"): a header of
// 13 eight-digit hexadecimal numbers, the name, the data; name and data are
// each padded to 4 bytes.
type archive struct {
	w   io.Writer
	ino uint32
	n   int64
}

func (a *archive) write(p []byte) error {
	n, err := a.w.Write(p)
	a.n += int64(n)
	return err
}

func (a *archive) pad() error {
	var zero [4]byte
	return a.write(zero[:-a.n&3])
}

// add writes one entry with exactly e.size bytes of data. A file that has grown meanwhile is cut,
// one that has shrunk is padded with zeroes, so that the archive stays well-formed.
func (a *archive) add(e entry, data io.Reader) error {
	a.ino++
	nlink := 1
	if e.mode&modeType == modeDir {
		nlink = 2
	}
	mtime := min(max(e.mtime, 0), 1<<32-1)
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, e.mode, 0, 0, nlink, mtime, e.size, 0, 0, 0, 0, len(e.name)+1, 0, e.name)
	if err := a.write([]byte(head)); err != nil {
		return err
	}
	if err := a.pad(); err != nil {
		return err
	}
	if err := a.copy(data, e.size); err != nil {
		return err
	}
	return a.pad()
}

func (a *archive) copy(data io.Reader, size int64) error {
	if size == 0 {
		return nil
	}
	n, err := io.Copy(a.w, io.LimitReader(data, size))
	a.n += n
	if err != nil {
		return err
	}
	zero := make([]byte, min(size-n, 1<<16))
	for n < size {
		k := min(size-n, int64(len(zero)))
		if err := a.write(zero[:k]); err != nil {
			return err
		}
		n += k
	}
	return nil
}

func (a *archive) close() error {
	a.ino = 0
	return a.add(entry{name: "TRAILER!!!"}, strings.NewReader(""))
}
