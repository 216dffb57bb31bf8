package jbd2

import (
	"bytes"
	"encoding/binary"
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
	// after everything that mke2fs has put on the disk
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
		// debugfs 1.47 writes no commit block for a transaction with both revokes and blocks
		if n < 3 {
			line += " -r " + pick() + "," + pick()
		} else {
			line += " -b " + strings.Join(blocks, ",") + " " + blocksFile(t, r, n, bs)
		}
		list = append(list, line)
	}
	return append(list, "jc")
}

// Replaying journals that debugfs wrote gives the same result as e2fsck, on the disk and,
// read-only, in the cache.
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

// A journal is refused if and only if e2fsck finds a fast commit in it to replay: in the
// second block of the area, of the transaction after the last one. Here it removes the
// name of inode 11, lost+found, and e2fsck makes a new one.
func TestFastCommitsLikeE2fsck(t *testing.T) {
	for _, c := range []struct{ at, behind uint32 }{{0, 0}, {1, 0}, {1, 1}, {2, 0}} {
		path := mkfs(t, "-b", "1024", "-O", "fast_commit", "-J", "size=4")
		setRecover(t, path)
		cfg, dev := imageConfig(t, path)
		cfg.Log = nil
		raw := make([]byte, 1024)
		at := int64(cfg.Journal[0].Physical) * 1024
		dev.ReadAt([][]byte{raw}, at)
		s := super{raw: raw}
		s.put(superIncompat, s.get(superIncompat)|incompatFastCommit) // Linux sets it when it mounts
		dev.WriteAt([][]byte{raw}, at)
		j := open(t, cfg)
		change(t, j, 1, cfg.Blocks-10)
		if e := j.log.write([][]byte{unlinkCommit(j.sequence + c.behind)}, j.super.end+c.at); e != 0 {
			t.Fatal(e)
		}
		out := filepath.Join(t.TempDir(), "replayed")
		if err := os.WriteFile(out, replayed(t, dev.Bytes()), 0o644); err != nil {
			t.Fatal(err)
		}
		want := !strings.Contains(run(t, "debugfs", "-R", "ls /", out), " 11 ")
		if want != (c.at == 1 && c.behind == 0) {
			t.Errorf("%+v: e2fsck has replayed it: %v", c, want)
		}
		_, err := Open(cfg)
		if refused := err != nil && strings.Contains(err.Error(), "fast_commit"); refused != want {
			t.Errorf("%+v: Open: %v; e2fsck has replayed it: %v", c, err, want)
		}
	}
}

// unlinkCommit is a fast commit that removes /lost+found: tags with their lengths,
// EXT4_FC_TAG_HEAD, _UNLINK and _TAIL of fs/ext4/fast_commit.h.
func unlinkCommit(tid uint32) []byte {
	le := binary.LittleEndian
	put := func(p []byte, tag, n uint16, values ...uint32) []byte {
		p = le.AppendUint16(le.AppendUint16(p, tag), n)
		for _, v := range values {
			p = le.AppendUint32(p, v)
		}
		return p
	}
	const name = "lost+found"
	p := put(nil, fastHead, 8, 0, tid)
	p = append(put(p, 5, uint16(8+len(name)), 2, 11), name...)
	p = put(p, 8, uint16(1024-len(p)-4), tid)
	p = le.AppendUint32(p, crc32c(0, p))
	return append(p, make([]byte, 1024-len(p))...)
}

// Journals with the checksums of old kernels (compatChecksum), which no current tool
// writes: made from one without checksums, judged by e2fsck.
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
