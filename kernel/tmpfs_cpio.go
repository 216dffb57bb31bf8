package kernel

import (
	"bytes"
	"strings"
	"syscall"
)

// This file unpacks the initial files: a cpio archive in the "newc" format, as Linux's
// initramfs (Documentation/driver-api/early-userspace/buffer-format.rst). The archive comes
// from outside: every length is checked against the number of bytes left.

const (
	cpioHeader  = 110 // magic and 13 fields of 8 hexadecimal digits
	cpioTrailer = "TRAILER!!!"
)

// archiveError says where an archive is broken.
type archiveError struct {
	at  int
	why string
}

func (e *archiveError) Error() string { return e.why + " at byte " + utoa(uint64(e.at)) }

// cpioEntry is one object of an archive.
type cpioEntry struct {
	name                           string
	data                           []byte
	ino, mode, uid, gid, links     uint32
	mtime, devMajor, devMinor      uint32
	rdevMajor, rdevMinor, nameSize uint32
}

// readCPIO calls emit for each entry up to the trailer. There may be several archives one
// after the other, with zeroes between them.
func readCPIO(archive []byte, emit func(*cpioEntry)) error {
	at := 0
	for {
		for at < len(archive) && archive[at] == 0 {
			at++
		}
		if at >= len(archive) {
			return nil
		}
		if len(archive)-at < cpioHeader {
			return &archiveError{at, "short header"}
		}
		e, size, ok := parseCPIOHeader(archive[at : at+cpioHeader])
		if !ok {
			return &archiveError{at, "bad header"}
		}
		nameEnd := uint64(at) + cpioHeader + uint64(e.nameSize)
		start := (nameEnd + 3) &^ 3
		if e.nameSize == 0 || e.nameSize > pathMax || nameEnd > uint64(len(archive)) {
			return &archiveError{at, "bad name length"}
		}
		name, _, _ := bytes.Cut(archive[at+cpioHeader:nameEnd], []byte{0})
		if e.name = string(name); e.name == cpioTrailer {
			at = int(min(start, uint64(len(archive))))
			continue
		}
		if start+uint64(size) > uint64(len(archive)) {
			return &archiveError{at, "file " + e.name + " is cut off"}
		}
		end := start + uint64(size)
		e.data = archive[start:end:end]
		emit(&e)
		at = int(min((end+3)&^3, uint64(len(archive))))
	}
}

func parseCPIOHeader(h []byte) (e cpioEntry, size uint32, ok bool) {
	if m := string(h[:6]); m != "070701" && m != "070702" {
		return e, 0, false
	}
	var f [13]uint32
	for i := range f {
		for _, c := range h[6+8*i : 14+8*i] {
			switch {
			case c >= '0' && c <= '9':
				c -= '0'
			case c >= 'a' && c <= 'f':
				c -= 'a' - 10
			case c >= 'A' && c <= 'F':
				c -= 'A' - 10
			default:
				return e, 0, false
			}
			f[i] = f[i]<<4 | uint32(c)
		}
	}
	e = cpioEntry{
		ino: f[0], mode: f[1], uid: f[2], gid: f[3], links: f[4], mtime: f[5],
		devMajor: f[7], devMinor: f[8], rdevMajor: f[9], rdevMinor: f[10], nameSize: f[11],
	}
	return e, f[6], true
}

// unpack fills the file system from an archive.
func (fs *tmpfs) unpack(archive []byte) error {
	type key struct{ ino, major, minor uint32 }
	linked := map[key]*tmpFile{}
	return readCPIO(archive, func(e *cpioEntry) {
		n := fs.unpackEntry(e)
		f, ok := n.(*tmpFile)
		if !ok || e.links < 2 {
			return
		}
		// Hard links are entries with one inode number; the last has the data.
		id := key{e.ino, e.devMajor, e.devMinor}
		first := linked[id]
		if first == nil {
			linked[id] = f
			return
		}
		if len(e.data) > 0 {
			first.data.base, first.data.size = f.data.base, f.data.size
		}
		fs.relink(strings.Trim(cleanName(e.name), "/"), first)
	})
}

// relink makes path another name of f.
func (fs *tmpfs) relink(path string, f *tmpFile) {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	n, _ := fs.find(dir)
	if d, ok := n.(*tmpDir); ok && d.entry(name) != tmpInode(f) {
		d.Remove(name, false)
		d.Link(name, f)
	}
}

// cleanName drops "." and ".." components.
func cleanName(name string) string {
	var parts []string
	for _, p := range strings.Split(name, "/") {
		if p != "" && p != "." && p != ".." {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}

func (fs *tmpfs) unpackEntry(e *cpioEntry) tmpInode {
	name := cleanName(e.name)
	if name == "" {
		return nil
	}
	var n tmpInode
	switch e.mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		n = fs.unpackLink(name, string(e.data))
	case syscall.S_IFDIR:
		if n = fs.place(name, e.mode); n == nil {
			n, _ = fs.find(name)
		}
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFSOCK:
		if n = fs.place(name, e.mode); n == nil {
			return nil // a duplicate: the first entry stays
		}
	}
	if n == nil {
		return nil
	}
	t := n.node()
	t.uid, t.gid = e.uid, e.gid
	t.mode = t.kind | e.mode&0o7777
	t.mtime = int64(e.mtime) * 1e9
	t.atime, t.ctime = t.mtime, t.mtime
	t.rdev = makedev(uint64(e.rdevMajor), uint64(e.rdevMinor))
	if f, ok := n.(*tmpFile); ok {
		f.data.base, f.data.size = e.data, int64(len(e.data))
	}
	return n
}

func (fs *tmpfs) unpackLink(name, target string) tmpInode {
	if target == "" || len(target) >= pathMax {
		return nil
	}
	// place makes the directories, and a file that is replaced here.
	if fs.place(name, syscall.S_IFREG) == nil {
		return nil
	}
	dir, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i], name[i+1:]
	}
	n, _ := fs.find(dir)
	d := n.(*tmpDir)
	d.Remove(base, false)
	if _, e := d.Symlink(base, target); e != 0 {
		return nil
	}
	return d.entry(base)
}
