// Package fsprobe identifies what is on a disk by the magic numbers of file systems, swap
// areas, partition tables and volume managers at fixed offsets (as file(1) and blkid(8) do),
// so that an error message can name it.
package fsprobe

import (
	"bytes"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// Ext4 is the name for ext2, ext3 and ext4, which differ only in features.
const Ext4 = "ext4"

// EROFS is the read-only format of sealed images.
const EROFS = "EROFS"

// These are names of contents other than file systems.
const (
	Empty      = "nothing" // the first bytes are all zero
	Unknown    = "unknown data"
	Partitions = "a partition table"
)

// marks are checked in this order: a partition table comes after the file systems that leave
// room for a boot sector.
var marks = []struct {
	at   int
	mark string
	name string
}{
	{1024 + 0x38, "\x53\xef", Ext4},
	{0, "XFSB", "XFS"},
	{0, "hsqs", "squashfs"},
	{1024, "\xe2\xe1\xf5\xe0", EROFS},
	{1024, "\x10\x20\xf5\xf2", "F2FS"},
	{0x10040, "_BHRfS_M", "Btrfs"},
	{0x8001, "CD001", "ISO 9660"},
	{3, "NTFS    ", "NTFS"},
	{3, "EXFAT   ", "exFAT"},
	{82, "FAT32   ", "FAT"},
	{54, "FAT1", "FAT"},
	{4086, "SWAPSPACE2", "a swap area"},
	{0, "LUKS\xba\xbe", "an encrypted volume (LUKS)"},
	{536, "LVM2 001", "an LVM volume"},
	{0, "QFI\xfb", "a qcow2 image, which the VMM passes on as raw bytes"},
	{512, "EFI PART", Partitions},
	{510, "\x55\xaa", Partitions},
}

// probeSize covers all marks, in blocks of any size.
const probeSize = 0x11000

// Probe returns the name of what is on the disk.
func Probe(dev block.Device) (string, syscall.Errno) {
	n := min(probeSize, dev.Size())
	b := make([]byte, n) // on the heap: the device reads to it
	if n > 0 {
		if e := dev.ReadAt([][]byte{b}, 0); e != 0 {
			return "", e
		}
	}
	return name(b), 0
}

func name(b []byte) string {
	for _, m := range marks {
		if end := m.at + len(m.mark); end <= len(b) && string(b[m.at:end]) == m.mark {
			return m.name
		}
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return Empty
	}
	return Unknown
}
