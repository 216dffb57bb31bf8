package jbd2

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// run runs a tool of e2fsprogs; the test is skipped where there is none.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
		if _, err := os.Stat(path); err != nil {
			t.Skip("needs e2fsprogs")
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	// e2fsck exits with 1 if it repaired something
	if e, ok := err.(*exec.ExitError); err != nil && !(ok && name == "e2fsck" && e.ExitCode() == 1) {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// mkfs makes an image of 16 MiB or so and returns its path.
func mkfs(t testing.TB, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	run(t, "mke2fs", append([]string{"-q", "-t", "ext4"}, append(args, path, "16M")...)...)
	return path
}

func debugfs(t testing.TB, path string, script ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(strings.Join(script, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return run(t, "debugfs", "-w", "-f", file, path)
}

// journalRuns asks debugfs where the journal is.
func journalRuns(t testing.TB, path string) (runs []Run) {
	t.Helper()
	for _, line := range strings.Split(run(t, "debugfs", "-R", "ex <8>", path), "\n") {
		f := strings.Fields(strings.NewReplacer("/", " ", "-", " ").Replace(line))
		if len(f) < 8 || f[0] != f[1] {
			continue // not a leaf
		}
		n := func(i int) uint64 { v, _ := strconv.ParseUint(f[i], 10, 64); return v }
		runs = append(runs, Run{uint32(n(4)), n(6), uint32(n(5) - n(4) + 1)})
	}
	if runs == nil {
		t.Fatal("debugfs shows no journal")
	}
	return runs
}

func readImage(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// imageConfig is a Config for an image: the block size is that of its superblock.
func imageConfig(t testing.TB, path string) (Config, *blocktest.Memory) {
	t.Helper()
	image := readImage(t, path)
	bs := 1024 << binary.LittleEndian.Uint32(image[1024+0x18:])
	dev := blocktest.FromBytes(image, 512)
	return Config{Device: dev, BlockSize: bs, Blocks: uint64(len(image) / bs), Journal: journalRuns(t, path), Log: func(s string) { t.Log(s) }}, dev
}

// replayed is the image after e2fsck has replayed its journal.
func replayed(t testing.TB, image []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replayed")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "e2fsck", "-fy", "-E", "journal_only", path)
	return readImage(t, path)
}

// differ lists the blocks that differ, except for the superblocks of both.
func differ(cfg Config, a, b []byte) (list []uint64) {
	bs := cfg.BlockSize
	for i := 0; i < len(a); i += bs {
		n := uint64(i / bs)
		if n == cfg.Journal[0].Physical || bs == 1024 && n == 1 || bs > 1024 && n == 0 {
			continue
		}
		if !bytes.Equal(a[i:i+bs], b[i:i+bs]) {
			list = append(list, n)
		}
	}
	return list
}
