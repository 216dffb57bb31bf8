// Package diskimage makes disks for guests: a sparse file with an ext4 file system and, if wanted, a
// folder's files in it, or a sealed image of a folder (EROFS). The ext4 file system is written by
// kernel/fs/ext4, with which a guest reads it, the image by github.com/erofs/go-erofs. Root is not
// needed. Start with [Create].
package diskimage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
)

// MinSize is the size of the smallest disk: a smaller one has no room for a journal.
const MinSize = 16 << 20

// These are the file systems that disks can have.
const (
	Ext4  = "ext4"
	EROFS = "erofs" // read-only, as large as the files of From
)

// Options are the parameters of Create.
type Options struct {
	File  string
	Type  string // Ext4 or EROFS; "" is Ext4
	Size  int64  // bytes; 0: what From needs and room to grow, at least 1 GiB
	From  string // a folder whose files the disk gets, or ""
	Label string
	Force bool // replace File
	// Skipped is called for files that cannot be copied.
	Skipped func(path string, why error)
}

// Result describes the disk that was made.
type Result struct {
	File  string `json:"file"`
	Type  string `json:"type"`
	Size  int64  `json:"size"`           // bytes
	Free  int64  `json:"free"`           // bytes for files, of Ext4
	Files int    `json:"files"`          // copied, directories included
	UUID  string `json:"uuid,omitempty"` // of Ext4
}

// Create makes a disk. The file appears when it is complete.
func Create(o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(o.File), filepath.Base(o.File)+".part-")
	if err != nil {
		return Result{}, err
	}
	defer os.Remove(f.Name()) // it has been renamed by then
	defer f.Close()
	fill := o.fill
	if o.Type == EROFS {
		fill = o.seal
	}
	r, err := fill(f)
	if err != nil {
		return r, err
	}
	r.Type = o.Type
	if err := f.Sync(); err != nil {
		return r, err
	}
	if err := f.Chmod(0o666 &^ umask()); err != nil {
		return r, err
	}
	r.File = o.File
	if o.Force {
		return r, os.Rename(f.Name(), o.File)
	}
	return r, exists(o.File, os.Link(f.Name(), o.File))
}

func umask() fs.FileMode {
	m := syscall.Umask(0)
	syscall.Umask(m)
	return fs.FileMode(m)
}

// exists explains an error that means that the file exists.
func exists(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; -force replaces it, with all that is on it", name)
	}
	return err
}

func (o *Options) check() error {
	if o.From != "" {
		info, err := os.Stat(o.From)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", o.From)
		}
	}
	info, err := os.Lstat(o.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().IsRegular() && !o.Force:
		return exists(o.File, fs.ErrExist)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file; mkfs.ext4 makes file systems on devices", o.File)
	}
	if o.Skipped == nil {
		o.Skipped = func(string, error) {}
	}
	if o.Type == EROFS {
		return nil
	}
	o.Type = Ext4
	if o.Size == 0 {
		need, err := needs(o.From)
		if err != nil {
			return err
		}
		o.Size = max(1<<30, (need+need/4+64<<20)&^(1<<20-1))
	}
	if o.Size < MinSize {
		return fmt.Errorf("a disk of %d bytes is too small for a journal; it takes %d MiB or more", o.Size, MinSize>>20)
	}
	return nil
}

// needs estimates how many bytes the files of a folder take on a disk.
func needs(dir string) (n int64, err error) {
	if dir == "" {
		return 0, nil
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // Create will report it
		}
		n += 4096
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += (info.Size() + 4095) &^ 4095
		}
		return nil
	})
	return n, err
}

// fill makes the file system in an empty file.
func (o *Options) fill(f *os.File) (Result, error) {
	r := Result{Size: o.Size &^ 4095}
	if err := f.Truncate(r.Size); err != nil {
		return r, err
	}
	dev := &hostDisk{f: f, size: r.Size}
	if err := ext4.Format(dev, ext4.FormatOptions{Label: o.Label}); err != nil {
		return r, err
	}
	var wrong string
	disk, err := ext4.Mount(dev, ext4.Options{CacheBytes: 64 << 20, Log: func(line string) { wrong = line }})
	if err != nil {
		return r, err
	}
	if o.From != "" {
		c := copier{disk: disk, o: o, links: map[inode]*ext4.Inode{}, buf: make([]byte, copySize)}
		err = c.all()
		r.Files = c.files
	}
	st := disk.Stat()
	r.Free, r.UUID = int64(st.Avail)*int64(st.BlockSize), fmt.Sprintf("%x-%x-%x-%x-%x", st.UUID[:4], st.UUID[4:6], st.UUID[6:8], st.UUID[8:10], st.UUID[10:])
	if e := disk.Unmount(); e != 0 && err == nil {
		err = e
	}
	if err == nil && dev.err != nil {
		err = dev.err
	}
	if err != nil && wrong != "" {
		err = fmt.Errorf("%w (%s)", err, wrong)
	}
	if errors.Is(err, syscall.ENOSPC) && dev.err == nil {
		err = fmt.Errorf("the files of %s do not fit in %d MiB; choose more with -size: %w", o.From, r.Size>>20, err)
	}
	return r, err
}

// clampTime returns a modification time, in ns since 1970, within the range of ext4.
func clampTime(t time.Time) int64 {
	return min(max(t.Unix(), -1<<31), 1<<34-1<<31-1)*1e9 + int64(t.Nanosecond())
}
