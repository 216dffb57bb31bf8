package jbd2

import (
	"fmt"
	"testing"
)

// BenchmarkCommit commits transactions of a few blocks, the same ones each time.
func BenchmarkCommit(b *testing.B) {
	for _, blocks := range []int{1, 4, 32, 256} {
		b.Run(fmt.Sprint(blocks), func(b *testing.B) {
			cfg, _ := bare(4096, 8000, 2048, incompatCsumV3)
			j := open(b, cfg)
			b.ReportAllocs()
			b.SetBytes(int64(blocks) * 4096)
			for b.Loop() {
				h := begin(b, j, blocks)
				for n := range blocks {
					set(b, h, 4000+uint64(n), func(p []byte) { p[0]++ })
				}
				h.End()
				if e := j.Commit(h.TID()); e != 0 {
					b.Fatal(e)
				}
			}
			j.Close()
		})
	}
}

// BenchmarkGet finds a block in the cache.
func BenchmarkGet(b *testing.B) {
	cfg, _ := bare(4096, 8000, 2048, 0)
	j := open(b, cfg)
	b.ReportAllocs()
	for b.Loop() {
		x, _ := j.Get(4000)
		x.Put()
	}
}

// BenchmarkHandle changes a block that is part of the transaction already.
func BenchmarkHandle(b *testing.B) {
	cfg, _ := bare(4096, 8000, 2048, 0)
	j := open(b, cfg)
	b.ReportAllocs()
	for b.Loop() {
		h, _ := j.Begin(1)
		x, _ := j.Get(4000)
		h.Dirty(x)
		x.Put()
		h.End()
	}
}
