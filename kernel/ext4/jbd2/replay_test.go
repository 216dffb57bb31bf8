package jbd2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// blocksFile is a file of random blocks; some begin with the journal's magic.
func blocksFile(t testing.TB, r *rand.Rand, n, size int) string {
	t.Helper()
	var p []byte
	for range n {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			be.PutUint32(b, magic)
		}
		p = append(p, b...)
	}
	path := filepath.Join(t.TempDir(), "blocks")
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// script writes random transactions into a journal with debugfs.
func script(t testing.TB, r *rand.Rand, open string, bs int, count int) []string {
	list := []string{open}
	// behind everything that mke2fs has put on the disk
	pick := func() string { return fmt.Sprint(16<<20/bs - 1 - r.IntN(60)) }
	for i := range count {
		line := "jw"
		n := r.IntN(12)
		seen := map[string]bool{}
		for len(seen) < n {
			seen[pick()] = true
		}
		var blocks []string
		for b := range seen {
			blocks = append(blocks, b)
		}
		if i == count-1 && r.IntN(2) == 0 {
			line += " -c"
		}
		// debugfs 1.47 writes no commit block for revocations and blocks at once
		if n < 3 {
			line += " -r " + pick() + "," + pick()
		} else {
			line += " -b " + strings.Join(blocks, ",") + " " + blocksFile(t, r, n, bs)
		}
		list = append(list, line)
	}
	return append(list, "jc")
}

// The replay of journals that debugfs wrote gives what e2fsck's gives, on the disk
// and, without writing, in the cache.
func TestReplayLikeE2fsck(t *testing.T) {
	for _, open := range []string{"jo", "jo -c", "jo -c -v 2", "jo -c -v 3"} {
		for _, size := range []int{1024, 4096} {
			for _, features := range []string{"64bit", "^64bit"} {
				if testing.Short() && (size == 1024 || features == "^64bit") {
					continue
				}
				t.Run(fmt.Sprint(open, size, features), func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(size), uint64(len(open+features))))
					path := mkfs(t, "-b", fmt.Sprint(size), "-O", features)
					debugfs(t, path, script(t, r, open, size, 30)...)
					checkReplay(t, path)
				})
			}
		}
	}
}

func checkReplay(t *testing.T, path string) {
	t.Helper()
	cfg, dev := imageConfig(t, path)
	before := dev.Bytes()
	want := replayed(t, before)
	if len(differ(cfg, before, want)) == 0 {
		t.Fatal("e2fsck replayed nothing")
	}

	ro := cfg
	ro.ReadOnly = true
	j, err := Open(ro)
	if err != nil {
		t.Fatal(err)
	}
	for n := range cfg.Blocks {
		if n == 0 || n == 1 || j.log.owns(n) {
			continue
		}
		b, e := j.Get(n)
		if e != 0 {
			t.Fatal(e)
		}
		if !bytes.Equal(b.Data, want[int(n)*cfg.BlockSize:][:cfg.BlockSize]) {
			t.Errorf("read-only: block %d is not what e2fsck has", n)
		}
		b.Put()
	}
	if !bytes.Equal(dev.Bytes(), before) {
		t.Error("read-only: the device was written")
	}

	j, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !j.Replayed() {
		t.Error("Replayed() = false")
	}
	if d := differ(cfg, dev.Bytes(), want); d != nil {
		t.Errorf("blocks %v are not what e2fsck has", d)
	}
	j.Close()
	out := filepath.Join(t.TempDir(), "after")
	if err := os.WriteFile(out, dev.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := run(t, "dumpe2fs", "-h", out); !strings.Contains(s, "Journal start:            0") {
		t.Errorf("after the replay dumpe2fs says\n%s", s)
	}
}

// Journals with the checksums of old kernels (compatChecksum), which nothing of
// today writes: made of one without checksums, judged by e2fsck.
func TestOldChecksums(t *testing.T) {
	for _, good := range []bool{true, false} {
		path := mkfs(t, "-b", "4096", "-O", "^metadata_csum,^64bit")
		setRecover(t, path)
		cfg, dev := imageConfig(t, path)
		cfg.Log = nil
		j := open(t, cfg)
		first := cfg.Blocks - 10
		for i := range uint64(3) {
			change(t, j, byte(1+i), first+i, first+i+1)
		}
		sum := ^uint32(0)
		for n := j.super.first; n < j.head; n++ {
			p := make([]byte, 4096)
			j.log.read([][]byte{p}, n)
			if kind, _, ok := header(p); !ok || kind != typeCommit {
				sum = crc32be(sum, p)
				continue
			}
			p[commitSumType], p[commitSumType+1] = checksumCRC32, 4
			be.PutUint32(p[commitSum:], sum)
			if !good && n == j.head-1 {
				p[commitSum]++
			}
			j.log.write([][]byte{p}, n)
			sum = ^uint32(0)
		}
		j.super.put(superCompat, compatChecksum)
		j.storeSuper()
		want := replayed(t, dev.Bytes())
		if replayed := len(differ(cfg, dev.Bytes(), want)) == 4; replayed != good {
			t.Errorf("good: %v, and e2fsck replayed everything: %v", good, replayed)
		}
		_, err := Open(cfg)
		if (err == nil) != good {
			t.Errorf("good: %v, Open: %v", good, err)
		}
		if d := differ(cfg, dev.Bytes(), want); good && d != nil {
			t.Errorf("blocks %v are not what e2fsck has", d)
		}
	}
}
