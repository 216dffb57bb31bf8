package jbd2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// bare makes a disk with a journal of logBlocks blocks and nothing else.
func bare(bs int, blocks uint64, logBlocks uint32, incompat uint32) (Config, *blocktest.Memory) {
	dev := blocktest.NewMemory(int64(bs)*int64(blocks), 512)
	// two runs, the second one before the first on the disk
	half := logBlocks / 2
	runs := []Run{{0, 8 + uint64(logBlocks), half}, {half, 4, logBlocks - half}}
	s := super{raw: make([]byte, bs)}
	putHeader(s.raw, typeSuperV2, 0)
	s.put(superBlockSize, uint32(bs))
	s.put(superMaxLen, logBlocks)
	s.put(superFirst, 1)
	s.put(superSequence, 1)
	s.put(superIncompat, incompat)
	copy(s.raw[superUUID:], "0123456789abcdef")
	if s.layout().sums() {
		s.raw[superChecksumType] = checksumCRC32C
		s.put(superChecksum, s.sum())
	}
	dev.WriteAt([][]byte{s.raw}, int64(runs[0].Physical)*int64(bs))
	return Config{Device: dev, BlockSize: bs, Blocks: blocks, Journal: runs, Log: func(string) {}}, dev
}

func open(t testing.TB, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func begin(t testing.TB, j *Journal, credits int) *Handle {
	t.Helper()
	h, e := j.Begin(credits)
	if e != 0 {
		t.Fatalf("Begin(%d) = %v", credits, e)
	}
	return h
}

// set writes a block in a handle.
func set(t testing.TB, h *Handle, block uint64, fill func([]byte)) {
	t.Helper()
	b, e := h.j.Get(block)
	if e != 0 {
		t.Fatalf("Get(%d) = %v", block, e)
	}
	h.Dirty(b)
	fill(b.Data)
	b.Put()
}

func random(r *rand.Rand) func([]byte) {
	return func(p []byte) {
		for i := 0; i < len(p); i += 8 {
			be.PutUint64(p[i:], r.Uint64())
		}
		if r.IntN(8) == 0 {
			be.PutUint32(p, magic)
		}
	}
}

// formats are all formats of a log.
var formats = []uint32{0, incompat64bit, incompatCsumV2, incompatCsumV2 | incompat64bit, incompatCsumV3, incompatCsumV3 | incompat64bit}

func TestCommitAndReplay(t *testing.T) {
	for _, format := range formats {
		for _, bs := range []int{1024, 4096} {
			t.Run(fmt.Sprint(format, bs), func(t *testing.T) {
				cfg, dev := bare(bs, 2000, 256, format)
				r := rand.New(rand.NewPCG(uint64(format), uint64(bs)))
				j := open(t, cfg)
				want := map[uint64][]byte{}
				for range shorter(300) { // wraps around several times
					h := begin(t, j, 8)
					for range 1 + r.IntN(8) {
						n := 1000 + r.Uint64N(200)
						set(t, h, n, func(p []byte) { random(r)(p); want[n] = bytes.Clone(p) })
					}
					h.End()
					if r.IntN(3) == 0 {
						if e := j.Commit(h.TID()); e != 0 {
							t.Fatal(e)
						}
					}
				}
				for j.CommitAll(); emptied(j); j.CommitAll() {
					h := begin(t, j, 1)
					set(t, h, 1000, func(p []byte) { random(r)(p); want[1000] = bytes.Clone(p) })
					h.End()
				}
				cfg.Device = dev.Clone()
				check := func(j *Journal, replayed bool) {
					t.Helper()
					for n, p := range want {
						b, e := j.Get(n)
						if e != 0 || !bytes.Equal(b.Data, p) {
							t.Errorf("block %d is wrong after the replay, %v", n, e)
						}
						b.Put()
					}
					if j.Replayed() != replayed {
						t.Errorf("Replayed() = %v", !replayed)
					}
				}
				ro := cfg
				ro.ReadOnly = true
				check(open(t, ro), true)
				again := open(t, cfg)
				check(again, true)
				again.Close()
				if e := j.Close(); e != 0 {
					t.Error(e)
				}
				cfg.Device = dev
				check(open(t, cfg), false)
			})
		}
	}
}

// emptied waits until no checkpoint runs in the background and reports whether the log
// is empty.
func emptied(j *Journal) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.checkpointing {
		j.changed.Wait()
	}
	return j.used == 0
}

// e2fsck replays what this package writes, with the same result.
func TestE2fsckReplaysOurs(t *testing.T) {
	for i, args := range [][]string{{"-b", "1024"}, {"-b", "4096", "-O", "^metadata_csum,^64bit"}, {"-b", "4096", "-J", "size=5"}} {
		path := mkfs(t, args...)
		cfg, dev := imageConfig(t, path)
		cfg.Checksums = i != 1
		cfg.MaxDirty = 1 << 20
		r := rand.New(rand.NewPCG(uint64(i), 9))
		j := open(t, cfg)
		free := cfg.Blocks - 100
		for range shorter(200) {
			h := begin(t, j, 30)
			for range r.IntN(30) {
				set(t, h, free+r.Uint64N(90), random(r))
			}
			if r.IntN(3) == 0 {
				h.Revoke(free+r.Uint64N(90), 1)
			}
			h.End()
			j.Commit(h.TID())
		}
		image := dev.Bytes()
		cfg.Device = dev
		if err := os.WriteFile(path, image, 0o644); err != nil {
			t.Fatal(err)
		}
		setRecover(t, path)
		if s := run(t, "debugfs", "-R", "logdump", path); !strings.Contains(s, "Journal starts at block") {
			t.Errorf("debugfs logdump:\n%s", s)
		}
		want := replayed(t, readImage(t, path))
		open(t, cfg)
		if d := differ(cfg, dev.Bytes(), want); d != nil {
			t.Errorf("%v: blocks %v are not what e2fsck has", args, d)
		}
	}
}

func TestRevoke(t *testing.T) {
	cfg, dev := bare(1024, 2000, 256, incompatCsumV3)
	j := open(t, cfg)
	fill := func(c byte) func([]byte) {
		return func(p []byte) { copy(p, bytes.Repeat([]byte{c}, len(p))) }
	}
	h := begin(t, j, 3)
	for n := range uint64(3) {
		set(t, h, 1000+n, fill(1))
	}
	h.End()
	j.CommitAll()
	h = begin(t, j, 3)
	set(t, h, 1001, fill(2))
	h.Revoke(1000, 3)
	set(t, h, 1002, fill(3)) // a revoked block is used again at once
	freed := false
	h.OnCommit(func() { freed = true })
	h.End()
	j.CommitAll()
	if !freed {
		t.Error("OnCommit was not called")
	}
	// the block is data now
	data := bytes.Repeat([]byte{9}, 2048)
	dev.WriteAt([][]byte{data}, 1000*1024)
	want := append(bytes.Clone(data), bytes.Repeat([]byte{3}, 1024)...)
	got := make([]byte, 3072)
	crashed := cfg
	crashed.Device = dev.Clone()
	open(t, crashed)
	crashed.Device.ReadAt([][]byte{got}, 1000*1024)
	if !bytes.Equal(got, want) {
		t.Errorf("after the replay the blocks begin with %d %d %d; want 9 9 3", got[0], got[1024], got[2048])
	}
	j.Close()
	dev.ReadAt([][]byte{got}, 1000*1024)
	if !bytes.Equal(got, want) {
		t.Errorf("after Close the blocks begin with %d %d %d; want 9 9 3", got[0], got[1024], got[2048])
	}
}

// A journal that does not fit is refused with an explanation, and nothing is written.
func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		want   string
		damage func(cfg *Config, s *super)
	}{
		"magic":    {"no superblock", func(_ *Config, s *super) { s.put(0, 1) }},
		"version":  {"version 1", func(_ *Config, s *super) { s.put(4, typeSuperV1) }},
		"feature":  {"incompat 0x100", func(_ *Config, s *super) { s.put(superIncompat, 0x100) }},
		"both":     {"two versions", func(_ *Config, s *super) { s.put(superIncompat, 0x18) }},
		"checksum": {"checksum of the journal's superblock", func(_ *Config, s *super) { s.put(superChecksum, 1) }},
		"size":     {"have 2048 bytes", func(_ *Config, s *super) { s.put(superIncompat, 0); s.put(superBlockSize, 2048) }},
		"length":   {"its inode has 256", func(_ *Config, s *super) { s.put(superIncompat, 0); s.put(superMaxLen, 300) }},
		"short":    {"too short", func(_ *Config, s *super) { s.put(superIncompat, 0); s.put(superMaxLen, 30) }},
		"first":    {"too short", func(_ *Config, s *super) { s.put(superIncompat, 0); s.put(superFirst, 255) }},
		"start":    {"outside", func(_ *Config, s *super) { s.put(superIncompat, 0); s.put(superStart, 256) }},
		"fast":     {"too short", func(_ *Config, s *super) { s.put(superIncompat, incompatFastCommit) }},
		"overlap":  {"twice", func(cfg *Config, _ *super) { cfg.Journal[1].Physical = cfg.Journal[0].Physical - 1 }},
		"hole":     {"wrongly", func(cfg *Config, _ *super) { cfg.Journal[1].Logical++ }},
		"beyond":   {"wrongly", func(cfg *Config, _ *super) { cfg.Journal[1].Physical = ^uint64(0) - 1 }},
		"none":     {"0 blocks", func(cfg *Config, _ *super) { cfg.Journal = nil }},
		"blocks":   {"larger than its device", func(cfg *Config, _ *super) { cfg.Blocks = 1 << 60 }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dev := bare(1024, 2000, 256, incompatCsumV3)
			at := int64(cfg.Journal[0].Physical) * 1024
			s := super{raw: make([]byte, 1024)}
			dev.ReadAt([][]byte{s.raw}, at)
			c.damage(&cfg, &s)
			dev.WriteAt([][]byte{s.raw}, at)
			before := dev.Bytes()
			_, err := Open(cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v; want ...%s...", err, c.want)
			}
			if !bytes.Equal(before, dev.Bytes()) {
				t.Error("the disk was written")
			}
		})
	}
}

// A cache without a journal.
func TestNoJournal(t *testing.T) {
	dev := blocktest.NewMemory(1<<20, 512)
	j := open(t, Config{Device: dev, BlockSize: 1024, Blocks: 1024, ReadOnly: true})
	b, e := j.Get(5)
	if e != 0 {
		t.Fatal(e)
	}
	b.Put()
	if _, e := j.Begin(1); e != syscall.EROFS {
		t.Errorf("Begin = %v; want EROFS", e)
	}
	if e := j.Checkpoint(); e != 0 {
		t.Error(e)
	}
	if e := j.Close(); e != 0 {
		t.Error(e)
	}
}
