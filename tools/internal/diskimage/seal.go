package diskimage

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/erofs/go-erofs"
)

// sealer copies a folder to an EROFS image, as copier does to a disk. A file with several names is
// copied for each of them: the library writes no hard links.
type sealer struct {
	w     *erofs.Writer
	o     *Options
	files int
}

// seal writes an image of Options.From to an empty file.
func (o *Options) seal(f *os.File) (Result, error) {
	s := sealer{erofs.Create(f, erofs.WithTempDir(filepath.Dir(o.File))), o, 0}
	info, err := os.Stat(o.From)
	if err == nil {
		err = s.dir(o.From, "/", info)
	}
	if err == nil {
		err = s.w.Close()
	}
	if err != nil {
		return Result{}, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Result{}, err
	}
	r := Result{Files: s.files, Size: (end + 4095) &^ 4095} // disks have whole blocks
	return r, f.Truncate(r.Size)
}

// dir copies a directory's entries, and then its attributes.
func (s *sealer) dir(from, to string, info fs.FileInfo) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		s.o.Skipped(from, err)
	}
	for _, e := range entries {
		name := filepath.Join(from, e.Name())
		info, err := os.Lstat(name)
		if err != nil {
			s.o.Skipped(name, err)
			continue
		}
		if err := s.entry(name, path.Join(to, e.Name()), info); err != nil {
			return err
		}
	}
	return s.attributes(from, to, info)
}

// entry copies one file of any type.
func (s *sealer) entry(from, to string, info fs.FileInfo) error {
	s.files++
	switch sys := info.Sys().(*syscall.Stat_t); info.Mode().Type() {
	case 0:
		return s.regular(from, to, info)
	case fs.ModeDir:
		if err := s.w.Mkdir(to, info.Mode().Perm()); err != nil {
			return err
		}
		return s.dir(from, to, info)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err == nil {
			err = s.w.Symlink(target, to)
		}
		if err != nil {
			return err
		}
	default:
		if err := s.w.Mknod(to, uint16(sys.Mode), uint32(sys.Rdev)); err != nil {
			return err
		}
	}
	return s.attributes(from, to, info)
}

func (s *sealer) regular(from, to string, info fs.FileInfo) error {
	f, err := os.Open(from)
	if err != nil {
		s.files--
		s.o.Skipped(from, err)
		return nil
	}
	defer f.Close()
	w, err := s.w.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.attributes(from, to, info)
}

// attributes copies mode, time and extended attributes; everything belongs to root.
func (s *sealer) attributes(from, to string, info fs.FileInfo) error {
	if info.Mode().Type() != fs.ModeSymlink {
		if err := s.w.Chmod(to, info.Mode()); err != nil {
			return err
		}
	}
	if info.IsDir() || info.Mode().IsRegular() {
		err := hostXattrs(from, func(name string, value []byte, err error) error {
			if err != nil {
				s.o.Skipped(from+": attribute "+name, err)
				return nil
			}
			return s.w.Setxattr(to, name, string(value))
		})
		if err != nil {
			return err
		}
	}
	return s.w.Chtimes(to, info.ModTime(), info.ModTime())
}
