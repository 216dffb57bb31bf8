package qemu

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Folder is a folder of the host that the guest mounts.
type Folder struct {
	Host     string // absolute
	Guest    string // absolute and clean
	ReadOnly bool
	// Mapped keeps owners, modes, links and devices that the guest makes in extended attributes
	// of plain files, which the host does not follow (QEMU's security_model=mapped-xattr).
	Mapped bool
}

// ParseFolder reads DIR:/path[:ro][:mapped], as in ./site:/srv:ro. DIR may be relative.
func ParseFolder(s string) (Folder, error) {
	rest, mapped := strings.CutSuffix(s, ":mapped")
	rest, readOnly := strings.CutSuffix(rest, ":ro")
	i := strings.LastIndexByte(rest, ':')
	if i < 1 {
		return Folder{}, fmt.Errorf("%q: want DIR:/path or DIR:/path:ro, as in ./site:/srv", s)
	}
	host, guest := rest[:i], rest[i+1:]
	if !path.IsAbs(guest) {
		if j := strings.LastIndexByte(host, ':'); j > 0 && path.IsAbs(host[j+1:]) {
			return Folder{}, fmt.Errorf("%q: %q is no option; there are ro and mapped, as in DIR:/path:ro", s, guest)
		}
		return Folder{}, fmt.Errorf("%q: want an absolute path in the guest, as in %s:/%s", s, host, path.Clean("/" + guest)[1:])
	}
	guest = path.Clean(guest)
	if guest == "/" {
		return Folder{}, fmt.Errorf("%q: a folder cannot be the guest's root; name one below it, as in %s:/mnt", s, host)
	}
	info, err := os.Stat(host)
	if err != nil {
		return Folder{}, err
	}
	if !info.IsDir() {
		return Folder{}, fmt.Errorf("%s is not a folder; -files %s:%s gives the program a copy of a file", host, host, guest)
	}
	host, err = filepath.Abs(host)
	return Folder{Host: host, Guest: guest, ReadOnly: readOnly, Mapped: mapped}, err
}

// Tag returns the mount tag of folder i.
func Tag(i int) string { return fmt.Sprintf("folder%d", i) }

// Word returns the value of the mount= word for folder i.
func (f Folder) Word(i int) string {
	w := Tag(i) + ":" + f.Guest
	if f.ReadOnly {
		w += ":ro"
	}
	return w
}

// folder returns the options for folder i. Files belong to the user who runs QEMU
// (security_model=none) unless they are mapped; multidevs=remap keeps inode numbers distinct if another file system is
// mounted inside the folder.
func (c *Config) folder(i int) []string {
	f := c.Folders[i]
	id := fmt.Sprintf("fs%d", i)
	model := "none"
	if f.Mapped {
		model = "mapped-xattr"
	}
	fsdev := "local,id=" + id + ",path=" + escape(f.Host) + ",security_model=" + model + ",multidevs=remap"
	if f.ReadOnly {
		fsdev += ",readonly=on"
	}
	return []string{"-fsdev", fsdev, "-device", c.virtio("9p", ",fsdev="+id+",mount_tag="+Tag(i))}
}
