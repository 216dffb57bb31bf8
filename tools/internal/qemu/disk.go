package qemu

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Disk is a file of the host, or a block device, that is a disk of the guest.
type Disk struct {
	Host     string // absolute
	Guest    string // mount point: absolute and clean, or "" for none
	ReadOnly bool
}

// ParseDisk reads FILE[:/path][:ro], as in data.img:/data. FILE may be relative.
func ParseDisk(s string) (Disk, error) {
	d, err := splitDisk(s)
	if err != nil {
		return Disk{}, err
	}
	info, err := os.Stat(d.Host)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Disk{}, fmt.Errorf("there is no file %s; make one with yolk disk create -size 1G %s", d.Host, d.Host)
	case err != nil:
		return Disk{}, err
	case info.IsDir():
		return Disk{}, fmt.Errorf("%s is a folder; mount it with -v %s:%s, or make a disk of it with yolk disk create -from %s -size 1G %s.img",
			d.Host, d.Host, cmp.Or(d.Guest, "/mnt"), d.Host, filepath.Base(d.Host))
	case info.Mode().IsRegular() && info.Size() == 0:
		return Disk{}, fmt.Errorf("%s is empty; make a file system there with yolk disk create -force -size 1G %s", d.Host, d.Host)
	}
	d.Host, err = filepath.Abs(d.Host)
	return d, err
}

// splitDisk separates the parts of a disk's description. A file name may contain a colon unless
// /… or ro follows it.
func splitDisk(s string) (d Disk, err error) {
	d.Host, d.ReadOnly = strings.CutSuffix(s, ":ro")
	if i := strings.LastIndexByte(d.Host, ':'); i > 0 && path.IsAbs(d.Host[i+1:]) {
		d.Host, d.Guest = d.Host[:i], path.Clean(d.Host[i+1:])
	} else if i > 0 && !fileExists(d.Host) {
		host, rest := d.Host[:i], d.Host[i+1:]
		if j := strings.LastIndexByte(host, ':'); j > 0 && path.IsAbs(host[j+1:]) {
			return d, fmt.Errorf("%q: %q is no option; there is only ro, as in FILE:/path:ro", s, rest)
		}
		return d, fmt.Errorf("%q: want an absolute path in the guest, as in %s:/%s", s, host, path.Clean("/" + rest)[1:])
	}
	if d.Host == "" {
		return d, fmt.Errorf("%q: want FILE, FILE:/path or FILE:/path:ro, as in data.img:/data", s)
	}
	return d, nil
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// DiskTag returns the serial number by which the guest finds disk i.
func DiskTag(i int) string { return fmt.Sprintf("disk%d", i) }

// Word returns the word of the guest's command line for disk i, as key and value; the key is "" for
// a disk that is not mounted.
func (d Disk) Word(i int) (key, value string) {
	value = DiskTag(i)
	switch d.Guest {
	case "":
		return "", ""
	case "/":
		key = "root"
	default:
		key, value = "mount", value+":"+d.Guest
	}
	if d.ReadOnly {
		value += ":ro"
	}
	return key, value
}

// disk returns the options for disk i. The host's page cache is the disk's own cache
// (cache=writeback): a flush by the guest is an fdatasync(2). The format is given, because
// otherwise a guest could write another format's header to a raw disk. If the host is out of
// space the guest gets an error; by default QEMU would stop the guest.
func (c *Config) disk(i int) []string {
	d := c.Disks[i]
	format := "raw"
	if strings.HasSuffix(d.Host, ".qcow2") {
		format = "qcow2"
	}
	drive := "if=none,id=" + DiskTag(i) + ",file=" + escape(d.Host) + ",format=" + format + ",cache=writeback,discard=unmap,werror=report"
	if d.ReadOnly {
		drive += ",readonly=on"
	}
	return []string{"-drive", drive, "-device", c.virtio("blk", fmt.Sprintf(",drive=%[1]s,serial=%[1]s,num-queues=%[2]d", DiskTag(i), c.diskQueues()))}
}

// diskQueues is how many queues a disk has: one for each CPU, where each can have its own
// interrupt, and one with which the guest reads pages of mapped files.
func (c *Config) diskQueues() int {
	if c.Machine == "microvm" {
		return 2
	}
	return min(c.CPUs, 4) + 1
}
