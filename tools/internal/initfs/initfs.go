// Package initfs packs host files into the archive that a guest unpacks into its root file system
// before the program starts: a newc cpio stream (cpio(5)), which the VMM loads as the initial RAM
// disk. All files belong to root in the guest. Start with [Write].
package initfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk/boot"
)

// ErrTooLarge is returned when the files exceed a limit.
var ErrTooLarge = errors.New("too large")

// ErrConfigTooLarge is returned for a configuration document that a guest would refuse.
var ErrConfigTooLarge = fmt.Errorf("arguments, variables and other settings have more than %d KiB together: put what is large in a file (-files, -secret)", boot.MaxConfig>>10)

// maxFile is the largest file that newc can hold: its size has 32 bits.
const maxFile = 1<<32 - 1

// Source is one host file or directory and its absolute path in the guest.
type Source struct {
	Host, Guest string
}

// Parse reads DIR or DIR:/path. Without a path, a directory's content becomes the guest's root, and
// a file is put in the root under its own name.
func Parse(s string) (Source, error) {
	host, guest := s, ""
	if i := strings.LastIndex(s, ":/"); i > 0 {
		host, guest = s[:i], s[i+1:]
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if _, err := os.Stat(s); err != nil {
			return Source{}, fmt.Errorf("%q: want DIR or DIR:/path with an absolute path", s)
		}
	}
	st, err := os.Stat(host)
	if err != nil {
		return Source{}, err
	}
	if guest == "" {
		guest = "/"
		if !st.IsDir() {
			guest += filepath.Base(host)
		}
	}
	return Source{Host: host, Guest: path.Clean(guest)}, nil
}

// Text is a file whose content is at hand.
type Text struct {
	Guest string // absolute path
	Data  []byte
	// Public says that every user may read it. Otherwise only root may (mode 0400), as its folder
	// (0700).
	Public bool
}

// Options limit and filter what Write packs. Zero limits mean none.
type Options struct {
	MaxBytes int64
	// Config is the configuration document (package boot), "" for none. It comes first.
	Config string
	Texts  []Text
	// Exclude reports whether to leave out a directory entry (and everything below it).
	Exclude func(d fs.DirEntry) bool
	// Skipped is called for files that cannot be packed: sockets, devices, files that the
	// user may not read.
	Skipped func(host string, why error)
}

// Write packs the sources into w and returns the length of the archive. If two sources have the
// same path, the guest gets the later one.
func Write(w io.Writer, sources []Source, opt Options) (int64, error) {
	p := &packer{a: archive{w: w}, opt: opt, dirs: map[string]bool{}}
	if err := p.texts(); err != nil {
		return p.a.n, err
	}
	for _, s := range sources {
		if err := p.source(s); err != nil {
			return p.a.n, err
		}
	}
	err := p.a.close()
	return p.a.n, err
}

// texts adds the configuration document and the texts.
func (p *packer) texts() error {
	if c := p.opt.Config; c != "" {
		c = boot.ConfigVersion + c
		if len(c) > boot.MaxConfig {
			return ErrConfigTooLarge
		}
		if err := p.a.add(entry{name: boot.ConfigName, mode: modeRegular | 0o400, size: int64(len(c))}, strings.NewReader(c)); err != nil {
			return err
		}
	}
	for _, t := range p.opt.Texts {
		if err := p.text(t); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) text(t Text) error {
	name, mode, dirMode := strings.TrimPrefix(path.Clean("/"+t.Guest), "/"), uint32(modeRegular|0o400), uint32(modeDir|0o700)
	if t.Public {
		mode, dirMode = modeRegular|0o444, modeDir|0o755
	}
	if err := p.parents(path.Dir(path.Dir(name))); err != nil {
		return err
	}
	if dir := path.Dir(name); !p.dirs[dir] {
		p.dirs[dir] = true
		if err := p.a.add(entry{name: dir, mode: dirMode}, nil); err != nil {
			return err
		}
	}
	return p.a.add(entry{name: name, mode: mode, size: int64(len(t.Data))}, bytes.NewReader(t.Data))
}

type packer struct {
	a    archive
	opt  Options
	dirs map[string]bool // directories already in the archive
}

func (p *packer) source(s Source) error {
	// The source itself may be a symbolic link; links inside it stay links.
	host, err := filepath.EvalSymlinks(s.Host)
	if err != nil {
		return err
	}
	guest := strings.TrimPrefix(path.Clean("/"+s.Guest), "/")
	if err := p.parents(path.Dir(guest)); err != nil {
		return err
	}
	return filepath.WalkDir(host, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == host {
				return err
			}
			return p.skip(name, err, d)
		}
		rel, err := filepath.Rel(host, name)
		if err != nil {
			return err
		}
		if rel != "." && p.opt.Exclude != nil && p.opt.Exclude(d) {
			return skipDir(d)
		}
		return p.entry(name, path.Join(guest, filepath.ToSlash(rel)), d)
	})
}

// parents adds the directories above a path in the guest.
func (p *packer) parents(dir string) error {
	if dir == "" || dir == "." || dir == "/" || p.dirs[dir] {
		return nil
	}
	if err := p.parents(path.Dir(dir)); err != nil {
		return err
	}
	p.dirs[dir] = true
	return p.a.add(entry{name: dir, mode: modeDir | 0o755}, nil)
}

func (p *packer) skip(name string, why error, d fs.DirEntry) error {
	if p.opt.Skipped != nil {
		p.opt.Skipped(name, why)
	}
	return skipDir(d)
}

func skipDir(d fs.DirEntry) error {
	if d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

var errSpecial = errors.New("neither a file, a directory nor a symbolic link")

// entry adds one file, directory or symbolic link.
func (p *packer) entry(host, guest string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return p.skip(host, err, d)
	}
	if err := p.count(host, info); err != nil {
		return err
	}
	e := entry{name: guest, mode: uint32(info.Mode().Perm()), mtime: info.ModTime().Unix()}
	switch info.Mode().Type() {
	case fs.ModeDir:
		if guest == "" || guest == "." || p.dirs[guest] {
			return nil
		}
		p.dirs[guest] = true
		e.mode |= modeDir
		return p.a.add(e, nil)
	case fs.ModeSymlink:
		to, err := os.Readlink(host)
		if err != nil {
			return p.skip(host, err, d)
		}
		e.mode, e.size = modeSymlink|0o777, int64(len(to))
		return p.a.add(e, strings.NewReader(to))
	case 0:
		return p.regular(host, e, d)
	}
	return p.skip(host, errSpecial, d)
}

func (p *packer) count(host string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s: a file of 4 GiB or more: %w", host, ErrTooLarge)
	}
	if p.opt.MaxBytes > 0 && p.a.n+info.Size() > p.opt.MaxBytes {
		return fmt.Errorf("more than %d MiB: %w", p.opt.MaxBytes>>20, ErrTooLarge)
	}
	return nil
}

func (p *packer) regular(host string, e entry, d fs.DirEntry) error {
	f, err := os.Open(host)
	if err != nil {
		return p.skip(host, err, d)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return p.skip(host, err, d)
	}
	e.mode, e.size = e.mode|modeRegular, min(st.Size(), maxFile)
	return p.a.add(e, f)
}
