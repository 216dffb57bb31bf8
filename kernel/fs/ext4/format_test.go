package ext4

import (
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

func TestFormat(t *testing.T) {
	uuid := [16]byte{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}
	for _, c := range []struct {
		name string
		size int64
		o    FormatOptions
	}{
		{"small", 8 << 20, FormatOptions{UUID: uuid, Label: "yolk"}},
		{"1k", 10<<20 + 5000, FormatOptions{BlockSize: 1024}},
		{"2k", 100 << 20, FormatOptions{BlockSize: 2048}},
		{"128M", 128<<20 + 4096*60, FormatOptions{}},
		{"600M", 600 << 20, FormatOptions{}},
		{"3G", 3 << 30, FormatOptions{}},
		{"inodes", 1 << 30, FormatOptions{Inodes: 200000, BlockSize: 1024}},
		{"manyinodes", 256 << 20, FormatOptions{BytesPerInode: 1024, BlockSize: 1024}},
		{"journal", 900 << 20, FormatOptions{JournalBlocks: 100000}},
		{"fewinodes", 2500 << 20, FormatOptions{Inodes: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := blocktest.NewMemory(c.size, 512)
			if err := Format(disk, c.o); err != nil {
				t.Fatal(err)
			}
			path := save(t, disk)
			fsck(t, path)
			if c.name == "small" {
				checkDump(t, path)
			}
			f := mount(t, disk, Options{})
			writeFile(t, root(t, f), "file", pattern(1, 100000))
			create(t, root(t, f), "dir", typeDir|0o755).Put()
			unmount(t, f)
			fsck(t, save(t, disk))
			if c.size < 200<<20 && c.size > 60<<20 {
				runModel(t, disk0(t, c.size, c.o), 3, 2, 400)
			}
		})
	}
}

func disk0(t *testing.T, size int64, o FormatOptions) *blocktest.Memory {
	disk := blocktest.NewMemory(size, 512)
	if err := Format(disk, o); err != nil {
		t.Fatal(err)
	}
	return disk
}

// checkDump compares dumpe2fs's output with that for a disk of mkfs.ext4.
func checkDump(t *testing.T, path string) {
	t.Helper()
	ours, _ := tool(t, "dumpe2fs", "-h", path)
	theirs, _ := tool(t, "dumpe2fs", "-h", mkfs(t, "8M", "-b", "4096", "-O", "^resize_inode", "-L", "yolk", "-U", "01020304-0506-4708-890a-0b0c0d0e0f10"))
	for _, line := range strings.Split(theirs, "\n") {
		switch key, _, _ := strings.Cut(line, ":"); key {
		case "Filesystem created", "Last write time", "Last checked", "Lifetime writes", "Directory Hash Seed", "Checksum",
			"Journal checksum", "Overhead clusters", "Free blocks", "dumpe2fs 1.47.0 (5-Feb-2023)":
			continue
		}
		if !strings.Contains(ours, line) {
			t.Errorf("dumpe2fs misses %q", line)
		}
	}
	if t.Failed() {
		t.Log(ours)
	}
}

func TestFormatRefuses(t *testing.T) {
	for _, c := range []struct {
		size int64
		o    FormatOptions
		want string
	}{
		{1 << 20, FormatOptions{}, "too small"},
		{64 << 20, FormatOptions{BlockSize: 512}, "block size"},
		{64 << 20, FormatOptions{Label: "a label that is too long"}, "label"},
		{64 << 20, FormatOptions{JournalBlocks: 60000}, "journal"},
		{64 << 20, FormatOptions{BytesPerInode: 1}, "inode"},
	} {
		err := Format(blocktest.NewMemory(c.size, 512), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Format(%+v) = %v; want an error with %q", c.o, err, c.want)
		}
	}
}
