package erofs

import (
	"errors"
	"sort"
	"syscall"

	format "github.com/erofs/go-erofs"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// hole is the Offset of a DataRange of zeroes.
const hole = -1

// content says where a file's bytes lie on the device: the page cache's Backing.
type content struct {
	fs     *FS
	node   *node // must live as long as pages of it are cached; nil for the device
	ranges []format.DataRange
	ends   []int64 // end of each range in the file
}

var (
	_ pagecache.Backing      = (*content)(nil)
	_ pagecache.ExtentMapper = (*content)(nil)
)

func newContent(fs *FS, ranges []format.DataRange) *content {
	c := &content{fs: fs, ranges: ranges, ends: make([]int64, len(ranges))}
	end := int64(0)
	for i, r := range ranges {
		end += r.Size
		c.ends[i] = end
	}
	return c
}

// content asks the image where a regular file's bytes are.
func (n *node) content() (*content, syscall.Errno) {
	var ranges []format.DataRange
	e := n.fs.call(n.path, func() error {
		info, err := n.fs.image.Lstat(n.path)
		if err != nil {
			return err
		}
		ranges = info.(interface{ DataRange() []format.DataRange }).DataRange()
		return check(ranges, n.size())
	})
	if e != 0 {
		return nil, e
	}
	c := newContent(n.fs, ranges)
	c.node = n
	return c, 0
}

// check refuses a layout that does not cover the file.
func check(ranges []format.DataRange, size int64) error {
	for _, r := range ranges {
		if r.Size <= 0 || r.Size > size || r.Device != 0 || r.Offset < hole {
			return errors.New("its layout is damaged, or needs another device")
		}
		size -= r.Size
	}
	if size != 0 {
		return errors.New("its layout is damaged, compressed, or of chunks without an index")
	}
	return nil
}

// find returns the range of an offset, which is less than the last of ends.
func (c *content) find(off int64) int {
	return sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
}

// size is the file's size in bytes.
func (c *content) size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// BlockSize is the unit of ReadData's offsets.
func (c *content) BlockSize() int { return pagecache.PageSize }

// ReadData fills bufs from off; the bytes after the end are zeroes.
func (c *content) ReadData(bufs [][]byte, off int64) syscall.Errno {
	for len(bufs) > 0 {
		if off >= c.size() {
			zero(bufs)
			return 0
		}
		i := c.find(off)
		part, rest := cut(bufs, c.ends[i]-off)
		n := total(part)
		if r := c.ranges[i]; r.Offset == hole {
			zero(part)
		} else if e := c.fs.read(part, r.Offset+off-(c.ends[i]-r.Size), n); e != 0 {
			return e
		}
		off += n
		bufs = rest
	}
	return 0
}

// WriteData is EROFS.
func (c *content) WriteData([]block.Write, int64) syscall.Errno { return syscall.EROFS }
func (c *content) Reserve(int64, int64) syscall.Errno           { return syscall.EROFS }
func (c *content) Unreserve(int64, int64)                       {}

// NextData returns the next range of data at or after off.
func (c *content) NextData(off int64) (start, end int64, e syscall.Errno) {
	for i := c.find(off); i < len(c.ranges); i++ {
		if c.ranges[i].Offset != hole {
			return max(off, c.ends[i]-c.ranges[i].Size), c.ends[i], 0
		}
	}
	return -1, 0, 0
}

// Reader is the machine's handle for the device.
func (c *content) Reader() machine.Reader { return c.fs.opt.Reader }

// Runs lists the whole pages of the file that lie on the device.
func (c *content) Runs() (list []machine.Run, _ syscall.Errno) {
	for i, r := range c.ranges {
		start := c.ends[i] - r.Size
		skip := -start & (pagecache.PageSize - 1)
		at, pages := r.Offset+skip, (r.Size-skip)/pagecache.PageSize
		if r.Offset == hole || pages <= 0 || at%int64(c.fs.dev.BlockSize()) != 0 || at > c.fs.dev.Size()-pages*pagecache.PageSize {
			continue
		}
		list = append(list, machine.Run{
			First: uintptr((start + skip) / pagecache.PageSize), Pages: uintptr(pages), Sector: uintptr(at / 512),
		})
	}
	return list, 0
}

// seek is lseek(2) with SEEK_DATA or SEEK_HOLE, for an off within the file.
func (c *content) seek(off int64, data bool) (int64, syscall.Errno) {
	for i := c.find(off); i < len(c.ranges); i++ {
		if (c.ranges[i].Offset != hole) == data {
			return max(off, c.ends[i]-c.ranges[i].Size), 0
		}
	}
	if data {
		return 0, syscall.ENXIO
	}
	return c.size(), 0
}

// read fills bufs, n bytes, from a position on the device. Whole blocks are read directly
// into bufs; the others, such as the tails of files, through a buffer.
func (m *FS) read(bufs [][]byte, at, n int64) syscall.Errno {
	if at < 0 || n > m.dev.Size()-at {
		m.opt.Log("a file leads to bytes behind the end of the disk: the image is damaged")
		return syscall.EIO
	}
	size := int64(m.dev.BlockSize())
	if at%size == 0 && n >= size {
		whole, rest := cut(bufs, n-n%size)
		if e := m.dev.ReadAt(whole, at); e != 0 {
			return e
		}
		bufs, at, n = rest, at+n-n%size, n%size
	}
	if n == 0 {
		return 0
	}
	first := at - at%size
	b := make([]byte, (at+n-first+size-1)/size*size)
	if e := m.dev.ReadAt([][]byte{b}, first); e != 0 {
		return e
	}
	b = b[at-first:][:n]
	for _, p := range bufs {
		b = b[copy(p, b):]
	}
	return 0
}

// cut divides bufs after n bytes, or at their end.
func cut(bufs [][]byte, n int64) (first, rest [][]byte) {
	for i, b := range bufs {
		if int64(len(b)) <= n {
			n -= int64(len(b))
			continue
		}
		if n == 0 {
			return bufs[:i], bufs[i:]
		}
		first = append(append([][]byte(nil), bufs[:i]...), b[:n:n])
		rest = append([][]byte{b[n:]}, bufs[i+1:]...)
		return first, rest
	}
	return bufs, nil
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func zero(bufs [][]byte) {
	for _, b := range bufs {
		clear(b)
	}
}
