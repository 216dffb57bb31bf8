package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4fs"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
)

// A diskGuest is a guest whose /tmp is an ext4 disk in memory. It has one kernel for all sequences,
// because a mount takes longer than a sequence; what one has left is removed, as on the Linux side.
type diskGuest struct{ *guest }

// diskSize is the size of the disk in bytes.
const diskSize = 256 << 20

func newDiskGuest() (*diskGuest, error) {
	g := &diskGuest{guest: newGuest()}
	g.w.sys, g.w.onDisk = g, true
	if err := g.start(); err != nil {
		return nil, err
	}
	disk := blocktest.NewMemory(diskSize, 512)
	if err := ext4.Format(disk, ext4.FormatOptions{Inodes: 4096}); err != nil {
		return nil, fmt.Errorf("making a file system: %w", err)
	}
	fs, err := ext4fs.Mount(disk, ext4fs.Options{Kernel: g.k, Cache: pagecache.New(g.m), Dev: 77, Log: func(string) {}})
	if err != nil {
		return nil, fmt.Errorf("mounting a disk: %w", err)
	}
	if e := g.k.Mount("/tmp", fs, "/dev/vda"); e != 0 {
		return nil, fmt.Errorf("mounting a disk: %w", e)
	}
	return g, nil
}

// restart closes all descriptors and makes the tree anew.
func (g *diskGuest) restart() error {
	if _, e := g.w.raw(unix.SYS_CLOSE_RANGE, firstFD, 1<<31-1, 0); e != 0 {
		return fmt.Errorf("close_range: %w", e)
	}
	if _, e := g.w.raw(unix.SYS_CHDIR, g.w.mem.put("/")); e != 0 {
		return fmt.Errorf("chdir: %w", e)
	}
	if _, e := g.w.raw(unix.SYS_UMASK, 0o022); e != 0 {
		return fmt.Errorf("umask: %w", e)
	}
	for _, e := range g.w.list("/tmp") {
		g.w.removeAll("/tmp/" + e.name)
	}
	return g.w.makeTree()
}
