package jbd2

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// The disk of FuzzReplay: 160 blocks of 1024 bytes, a journal of 66 from 40 on.
const (
	fuzzBlock  = 1024
	fuzzBlocks = 160
	fuzzLog    = 66
	fuzzFirst  = 40
)

func fuzzConfig(dev *blocktest.Memory) Config {
	return Config{Device: dev, BlockSize: fuzzBlock, Blocks: fuzzBlocks, Journal: []Run{{0, fuzzFirst, fuzzLog}}}
}

func fuzzDisk(journal []byte) *blocktest.Memory {
	image := make([]byte, fuzzBlock*fuzzBlocks)
	copy(image[fuzzFirst*fuzzBlock:(fuzzFirst+fuzzLog)*fuzzBlock], journal)
	return blocktest.FromBytes(image, 512)
}

// fuzzSeeds are journals with a few transactions in all formats, as a crash leaves
// them, without trailing zeroes.
func fuzzSeeds(t testing.TB) (list [][]byte) {
	for i, format := range formats {
		old, _ := bare(fuzzBlock, 200, fuzzLog, format)
		super := make([]byte, fuzzBlock)
		old.Device.ReadAt([][]byte{super}, int64(old.Journal[0].Physical)*fuzzBlock)
		dev := fuzzDisk(super)
		j := open(t, fuzzConfig(dev))
		r := rand.New(rand.NewPCG(uint64(i), 3))
		for range 4 + 12*(i%2) { // every other one has wrapped around the log
			h := begin(t, j, 5)
			for range r.IntN(5) {
				set(t, h, 120+r.Uint64N(20), random(r))
			}
			if r.IntN(2) == 0 {
				h.Revoke(120+r.Uint64N(20), 2)
			}
			h.End()
			j.CommitAll()
		}
		list = append(list, bytes.TrimRight(dev.Bytes()[fuzzFirst*fuzzBlock:(fuzzFirst+fuzzLog)*fuzzBlock], "\x00"))
	}
	return list
}

// repair corrects the checksums of a damaged journal, so that damage gets past the first
// of them.
func repair(journal []byte) []byte {
	p := make([]byte, fuzzLog*fuzzBlock)
	copy(p, journal)
	s := super{raw: p[:fuzzBlock]}
	l := s.layout()
	if !l.sums() {
		return p
	}
	s.raw[superChecksumType] = checksumCRC32C
	s.put(superChecksum, s.sum())
	for at := fuzzBlock; at < len(p); at += fuzzBlock {
		b := p[at : at+fuzzBlock]
		kind, sequence, ok := header(b)
		switch {
		case !ok:
		case kind == typeCommit:
			be.PutUint32(b[commitSum:], l.sumWithZero(b, commitSum))
		case kind == typeRevoke:
			l.putTail(b)
		case kind == typeDescriptor:
			off := headerBytes
			for i, t := range l.tags(b) {
				if data := at + (1+i)*fuzzBlock; data < len(p) {
					t.sum = l.dataSum(sequence, p[data:data+fuzzBlock])
					l.putTag(b[off:], t)
				}
				if off += l.tagBytes(); t.flags&flagSameUUID == 0 {
					off += uuidBytes
				}
			}
			l.putTail(b)
		}
	}
	return p
}

// FuzzReplay opens damaged journals: no panic, no endless loop; read-only or not, the
// result is the same; only what a replay may write is written, and nothing if the journal
// is refused; a second Open has nothing to replay.
func FuzzReplay(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, journal []byte, right bool) {
		if right {
			journal = repair(journal)
		}
		checkFuzzed(t, fuzzDisk(journal))
	})
}

func checkFuzzed(t *testing.T, dev *blocktest.Memory) {
	before := dev.Bytes()
	cfg := fuzzConfig(dev)
	cfg.ReadOnly = true
	ro, roErr := Open(cfg)
	if !bytes.Equal(before, dev.Bytes()) {
		t.Fatal("read-only, and the disk was written")
	}
	cfg.ReadOnly = false
	rw, err := Open(cfg)
	if (err == nil) != (roErr == nil) {
		t.Fatalf("read-only: %v; else: %v", roErr, err)
	}
	after := dev.Bytes()
	if err != nil {
		if !bytes.Equal(before, after) {
			t.Fatalf("refused (%v), and the disk was written", err)
		}
		return
	}
	if rw.Replayed() != ro.Replayed() {
		t.Fatalf("Replayed() = %v read-only, else %v", ro.Replayed(), rw.Replayed())
	}
	// In the log, only its superblock may be different.
	log := after[(fuzzFirst+1)*fuzzBlock : (fuzzFirst+fuzzLog)*fuzzBlock]
	if !bytes.Equal(log, before[(fuzzFirst+1)*fuzzBlock:][:len(log)]) {
		t.Fatal("the log was written")
	}
	onDisk := dev.Clone() // ro still reads from the log of dev
	for n := range uint64(fuzzBlocks) {
		b, e := ro.Get(n)
		if e != 0 {
			t.Fatalf("Get(%d) = %v", n, e)
		}
		if n != fuzzFirst && !bytes.Equal(b.Data, after[n*fuzzBlock:][:fuzzBlock]) {
			t.Fatalf("block %d differs between a replay in the cache and one on the disk", n)
		}
		b.Put()
	}
	cfg.Device = onDisk
	again, err := Open(cfg)
	if err != nil || again.Replayed() {
		t.Fatalf("after the replay: %v, and a second one", err)
	}
}
