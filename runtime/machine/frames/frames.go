// Package frames hands out page frames of physical memory.
//
// RAM that was never used is taken from the regions of the machine's map in order; what
// was freed is found in bitmaps, one for each 128 MiB of addresses. A frame is dirty when
// it is freed, and clean once the host has been told that it may take the memory behind
// it (free page reporting): dirty ones are used first, so that the guest stays small.
//
// The machine half (machine_frames.go of package runtime) calls it on a private stack,
// where nothing may be allocated and no write barrier may run: memory and what lies in it
// are numbers here. One caller at a time. Start with [Frames].
package frames

import (
	"math/bits"
)

const (
	Page  = 4096
	Large = 2 << 20 // what one entry of a page directory maps

	chunkShift  = 27
	chunkFrames = 1 << chunkShift / Page // as many bits as a page has
	chunkWords  = chunkFrames / 64

	// MaxRegions is how many regions there may be.
	MaxRegions = 64
)

// A Range is physical addresses.
type Range struct{ Start, End uintptr }

// The kinds of free frames.
type kind = uint

const (
	dirty kind = 0
	clean kind = 1
	kinds      = 2
)

// chunk is 128 MiB of physical addresses.
type chunk struct {
	bitmap [kinds]uintptr // a page with a bit for each frame that is free, or 0
	n      [kinds]uint    // how many there are
	low    [kinds]uint    // the words before this one have none
}

// Frames is all RAM. AddRegion for each part of it, then Init.
type Frames struct {
	// Free is how many bytes can be taken.
	Free uintptr

	base    uintptr           // where physical address 0 is seen
	region  [MaxRegions]Range // untouched RAM, by address
	nregion int
	at      int     // the region that frames are taken from
	chunks  uintptr // of chunk, by address
	nchunk  uint
	low     [kinds]uint    // the chunks before this one have no free frame
	nfree   [kinds]uintptr // frames in all bitmaps
}

// AddRegion adds RAM that nobody uses, in whole pages. Regions do not overlap.
func (f *Frames) AddRegion(r Range) {
	i := f.nregion
	for ; i > 0 && f.region[i-1].Start > r.Start; i-- {
		f.region[i] = f.region[i-1]
	}
	f.region[i] = r
	f.nregion++
	f.Free += r.End - r.Start
}

// Init makes the bitmaps' table, when all regions are known. base is where physical
// address 0 is seen; until TakeLow is not used any more only low memory needs to be. It
// returns false if no region has the room.
func (f *Frames) Init(base uintptr) bool {
	if f.nregion == 0 {
		return false
	}
	f.base = base
	f.nchunk = uint((f.region[f.nregion-1].End + 1<<chunkShift - 1) >> chunkShift)
	p := f.TakeLow(uintptr(f.nchunk) * chunkSize)
	if p == 0 {
		return false
	}
	f.chunks = base + p
	for i := range f.nchunk {
		*f.chunk(i) = chunk{}
	}
	return true
}

// Take takes a frame and returns its physical address, 0 if none is left. Its content is
// undefined, as that of all that is taken here.
func (f *Frames) Take() uintptr {
	if f.nfree[dirty] != 0 {
		return f.first(dirty)
	}
	for ; f.at < f.nregion; f.at++ {
		if r := &f.region[f.at]; r.Start < r.End {
			f.Free -= Page
			r.Start += Page
			return r.Start - Page
		}
	}
	if f.nfree[clean] != 0 {
		return f.first(clean)
	}
	return 0
}

// first takes the first frame of a kind from the bitmaps, which have one.
func (f *Frames) first(k kind) uintptr {
	c, at := f.find(k)
	w := c.word(k, at/64)
	*w &= *w - 1
	f.count(c, k, ^uint(0))
	return f.address(k, at)
}

// find returns where the first frame of a kind is, which exists: its chunk, f.low's, and
// its bit there.
func (f *Frames) find(k kind) (c *chunk, bit uint) {
	for c = f.chunk(f.low[k]); c.n[k] == 0; c = f.chunk(f.low[k]) {
		f.low[k]++
	}
	for *c.word(k, c.low[k]) == 0 {
		c.low[k]++
	}
	return c, c.low[k]*64 + uint(bits.TrailingZeros64(*c.word(k, c.low[k])))
}

// address returns that of a bit of the chunk that find returned last.
func (f *Frames) address(k kind, bit uint) uintptr {
	return uintptr(f.low[k])<<chunkShift + uintptr(bit)*Page
}

// count counts n more free frames; -n are less.
func (f *Frames) count(c *chunk, k kind, n uint) {
	c.n[k] += n
	f.nfree[k] += uintptr(n)
	f.Free += uintptr(n) * Page
}

// Put frees a frame: a dirty one.
func (f *Frames) Put(phys uintptr) { f.put(dirty, phys) }

// Give frees a range of frames.
func (f *Frames) Give(r Range, isClean bool) {
	k := dirty
	if isClean {
		k = clean
	}
	for p := r.Start; p < r.End; p += Page {
		f.put(k, p)
	}
}

// Dirty returns how many bytes are free and dirty.
func (f *Frames) Dirty() uintptr { return f.nfree[dirty] * Page }

func (f *Frames) put(k kind, phys uintptr) {
	i := uint(phys >> chunkShift)
	c := f.chunk(i)
	if c.bitmap[k] == 0 {
		// The first one keeps the bits of the others.
		c.bitmap[k] = f.base + phys
		clear((*[chunkWords]uint64)(memory(c.bitmap[k]))[:])
		return
	}
	bit := uint(phys / Page % chunkFrames)
	*c.word(k, bit/64) |= 1 << (bit % 64)
	c.low[k] = min(c.low[k], bit/64)
	f.low[k] = min(f.low[k], i)
	f.count(c, k, 1)
}

// Contiguous takes n bytes, whole pages, in one run; 0 if there is none.
func (f *Frames) Contiguous(n uintptr) uintptr {
	if p := f.fromTop(n, Page); p != 0 {
		return p
	}
	return f.run(uint(n/Page), 1)
}

// TakeLarge takes 2 MiB with that alignment, 0 if there are none.
func (f *Frames) TakeLarge() uintptr {
	if p := f.run(Large/Page, Large/Page); p != 0 {
		return p
	}
	return f.fromTop(Large, Large)
}

// TakeLow is Contiguous from the first region with room: for the time when only the
// lowest addresses are mapped.
func (f *Frames) TakeLow(n uintptr) uintptr {
	n = (n + Page - 1) &^ (Page - 1)
	for i := range f.nregion {
		if r := &f.region[i]; r.End-r.Start >= n {
			r.Start += n
			f.Free -= n
			return r.Start - n
		}
	}
	return 0
}

// fromTop takes n bytes from the end of a region that was not used yet.
func (f *Frames) fromTop(n, align uintptr) uintptr {
	for i := f.nregion - 1; i >= f.at; i-- {
		r := &f.region[i]
		end := r.End &^ (align - 1)
		if end < r.Start || end-r.Start < n {
			continue
		}
		rest := Range{end, r.End}
		r.End = end - n
		f.Free -= rest.End - r.End
		f.Give(rest, true)
		return r.End
	}
	return 0
}

// run takes n frames in a row, aligned to so many frames, out of one bitmap.
func (f *Frames) run(n, align uint) uintptr {
	for k := range kind(kinds) {
		for i := f.low[k]; i < f.nchunk && f.nfree[k] >= uintptr(n); i++ {
			c := f.chunk(i)
			if c.n[k] < n {
				continue
			}
			for first := c.low[k] * 64; first+n <= chunkFrames; {
				first = (first + align - 1) &^ (align - 1)
				length := c.length(k, first, n)
				if length == n {
					f.takeRun(c, k, first, n)
					return uintptr(i)<<chunkShift + uintptr(first)*Page
				}
				first += length + 1
			}
		}
	}
	return 0
}

// length counts the free frames from the given one on, up to most.
func (c *chunk) length(k kind, first, most uint) uint {
	n := uint(0)
	for n < most && first+n < chunkFrames {
		at := first + n
		ones := uint(bits.TrailingZeros64(^(*c.word(k, at/64) >> (at % 64))))
		n += ones
		if ones < 64-at%64 {
			break
		}
	}
	return min(n, most)
}

func (f *Frames) takeRun(c *chunk, k kind, first, n uint) {
	for at := first; at < first+n; at++ {
		*c.word(k, at/64) &^= 1 << (at % 64)
	}
	f.count(c, k, -n)
}

// TakeSome takes a run of at most n bytes, for the host: what was used and freed; unless
// used is set, then any. The range is empty if there is none.
func (f *Frames) TakeSome(n uintptr, used bool) Range {
	n &^= Page - 1
	if r := f.someOf(dirty, n); r.Start < r.End || used {
		return r
	}
	if r := f.someOf(clean, n); r.Start < r.End {
		return r
	}
	for i := f.nregion - 1; i >= f.at; i-- {
		if r := &f.region[i]; r.Start < r.End {
			n = min(n, r.End-r.Start)
			r.End -= n
			f.Free -= n
			return Range{r.End, r.End + n}
		}
	}
	return Range{}
}

// someOf takes the first run of a kind of frames in the bitmaps.
func (f *Frames) someOf(k kind, n uintptr) Range {
	if f.nfree[k] == 0 {
		return Range{}
	}
	c, first := f.find(k)
	length := c.length(k, first, uint(n/Page))
	f.takeRun(c, k, first, length)
	start := f.address(k, first)
	return Range{start, start + uintptr(length)*Page}
}
