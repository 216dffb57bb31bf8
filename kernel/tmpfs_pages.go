package kernel

import "syscall"

// pageSize is the unit in which tmpfs stores data.
const pageSize = 4096

// chunkPages is how many pages an entry of the page map has: few enough that a small file
// costs little, many enough that the map of a large one stays small.
const chunkPages = 64

type (
	page  [pageSize]byte
	chunk [chunkPages]*page
)

// pages is the content of a regular file: a sparse array of pages over an optional read-only
// base, which is how files of the initial archive are used in place until they are written.
// If the file was mapped shared, its first bytes are in an arena instead (mmap_arena.go). The
// zero value is an empty file. The owner locks.
type pages struct {
	fs     *tmpfs
	size   int64
	base   []byte
	chunks map[int64]*chunk
	count  int64  // number of pages in chunks
	arena  []byte // if not empty, bytes [0, len(arena)) of the file are here
	mapped int    // number of shared mappings of the arena
}

func (d *pages) page(i int64) *page {
	if c := d.chunks[i/chunkPages]; c != nil {
		return c[i%chunkPages]
	}
	return nil
}

// readAt copies from offset off; holes read as zeroes.
func (d *pages) readAt(p []byte, off int64) int {
	if off >= d.size {
		return 0
	}
	if int64(len(p)) > d.size-off {
		p = p[:d.size-off]
	}
	n := 0
	for n < len(p) {
		n += d.readPart(p[n:], off+int64(n))
	}
	return n
}

// readPart copies from one source and returns how much.
func (d *pages) readPart(p []byte, off int64) int {
	if off < int64(len(d.arena)) {
		return copy(p, d.arena[off:])
	}
	in := off % pageSize
	p = p[:min(int64(len(p)), pageSize-in)]
	if pg := d.page(off / pageSize); pg != nil {
		return copy(p, pg[in:])
	}
	if off < int64(len(d.base)) {
		n := copy(p, d.base[off:])
		clear(p[n:])
		return len(p)
	}
	clear(p)
	return len(p)
}

// writeAt stores p at off and returns how many bytes fit.
func (d *pages) writeAt(p []byte, off int64) (int, syscall.Errno) {
	if off < 0 || off > maxFileSize-int64(len(p)) {
		return 0, syscall.EFBIG
	}
	n := 0
	for n < len(p) {
		m, e := d.writePart(p[n:], off+int64(n))
		n += m
		d.size = max(d.size, off+int64(n))
		if e != 0 {
			if n > 0 {
				return n, 0
			}
			return 0, e
		}
	}
	return n, 0
}

// maxFileSize is MAX_LFS_FILESIZE, less a page so that sums stay positive.
const maxFileSize = 1<<63 - 1 - pageSize

func (d *pages) writePart(p []byte, off int64) (int, syscall.Errno) {
	if off < int64(len(d.arena)) {
		return d.writeArena(p, off)
	}
	pg, e := d.own(off / pageSize)
	if e != 0 {
		return 0, e
	}
	return copy(pg[off%pageSize:], p), 0
}

// writeArena writes to the arena. Its pages are allocated when they are touched, and the
// machine stops if it is out of memory: so a file that grows in its arena must leave some
// memory free.
func (d *pages) writeArena(p []byte, off int64) (int, syscall.Errno) {
	const reserve = 1 << 20
	p = p[:min(int64(len(p)), int64(len(d.arena))-off)]
	if off+int64(len(p)) > d.size {
		if _, free := d.fs.k.m.Memory(); free < uint64(len(p))+reserve {
			return 0, syscall.ENOSPC
		}
	}
	return copy(d.arena[off:], p), 0
}

// own returns page i for writing: a copy of the base on the first write.
func (d *pages) own(i int64) (*page, syscall.Errno) {
	if pg := d.page(i); pg != nil {
		return pg, 0
	}
	if !d.fs.charge(1) {
		return nil, syscall.ENOSPC
	}
	pg := new(page)
	if off := i * pageSize; off < int64(len(d.base)) {
		copy(pg[:], d.base[off:])
	}
	c := d.chunks[i/chunkPages]
	if c == nil {
		if d.chunks == nil {
			d.chunks = make(map[int64]*chunk)
		}
		c = new(chunk)
		d.chunks[i/chunkPages] = c
	}
	c[i%chunkPages] = pg
	d.count++
	return pg, 0
}

// truncate sets the size. Bytes after a smaller size read as zero if the file grows again.
func (d *pages) truncate(size int64) syscall.Errno {
	if size < 0 {
		return syscall.EINVAL
	}
	if size > maxFileSize {
		return syscall.EFBIG
	}
	if size < d.size {
		end := (d.size + pageSize - 1) / pageSize * pageSize // the last page goes, too
		d.zero(size, end-size)
	}
	d.size = size
	return 0
}

// zero makes the n bytes at off read as zero and frees whole pages.
func (d *pages) zero(off, n int64) syscall.Errno {
	end := off + n
	if off < int64(len(d.base)) {
		// The base cannot be written: the part of it after the hole is copied.
		for at := end; at < int64(len(d.base)); at = (at/pageSize + 1) * pageSize {
			if _, e := d.own(at / pageSize); e != 0 {
				return e
			}
		}
		d.base = d.base[:off:off]
	}
	if off < int64(len(d.arena)) {
		d.fs.k.zeroMemory(d.arena[off:min(end, int64(len(d.arena)), max(d.size, off))])
	}
	for key, c := range d.chunks {
		if (key+1)*chunkPages*pageSize > off && key*chunkPages*pageSize < end {
			d.zeroChunk(key, c, off, end)
		}
	}
	return 0
}

func (d *pages) zeroChunk(key int64, c *chunk, off, end int64) {
	live := false
	for j, pg := range c {
		if pg == nil {
			continue
		}
		start := (key*chunkPages + int64(j)) * pageSize
		lo, hi := max(off, start), min(end, start+pageSize)
		switch {
		case lo >= hi:
			live = true
		case hi-lo == pageSize:
			c[j] = nil
			d.count--
			d.fs.used.Add(-1)
		default:
			clear(pg[lo-start : hi-start])
			live = true
		}
	}
	if !live {
		delete(d.chunks, key)
	}
}

// isData reports whether page i may contain data (SEEK_DATA).
func (d *pages) isData(i int64) bool {
	return i*pageSize < int64(len(d.arena)) || i*pageSize < int64(len(d.base)) || d.page(i) != nil
}

// seek finds the next data or hole at or after off, which is below the size.
func (d *pages) seek(off int64, data bool) (int64, syscall.Errno) {
	for at := off; at < d.size; {
		i := at / pageSize
		if d.isData(i) == data {
			return at, 0
		}
		at = (i + 1) * pageSize
		if data && i*pageSize >= int64(len(d.base)) && d.chunks[i/chunkPages] == nil {
			at = (i/chunkPages + 1) * chunkPages * pageSize
		}
	}
	if data {
		return 0, syscall.ENXIO
	}
	return d.size, 0
}

// blocks is st_blocks: the stored pages, in units of 512 bytes.
func (d *pages) blocks() int64 {
	n := d.count * (pageSize / 512)
	n += (int64(len(d.base)) + 511) / 512
	return n + (min(d.size, int64(len(d.arena)))+511)/512
}
