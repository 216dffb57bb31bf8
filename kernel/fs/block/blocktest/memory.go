package blocktest

import (
	"bytes"
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

const chunk = 16 << 10

// part is a chunk's contents. A part that clones share is copied before a write.
type part struct {
	owner *Memory
	data  [chunk]byte
}

// Memory is a sparse disk in memory.
type Memory struct {
	size      int64
	blockSize int
	readOnly  bool

	mu     sync.RWMutex
	chunks map[int64]*part
}

var _ block.Device = (*Memory)(nil)

// NewMemory makes a disk of zeroes; size in bytes is rounded down to blocks.
func NewMemory(size int64, blockSize int) *Memory {
	return &Memory{size: size - size%int64(blockSize), blockSize: blockSize, chunks: map[int64]*part{}}
}

// FromBytes makes a disk with a copy of an image, its length rounded up to blocks.
func FromBytes(image []byte, blockSize int) *Memory {
	m := NewMemory((int64(len(image))+int64(blockSize)-1)/int64(blockSize)*int64(blockSize), blockSize)
	m.write(image, 0)
	return m
}

// Bytes is a copy of the whole disk.
func (m *Memory) Bytes() []byte {
	p := make([]byte, m.size)
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.read(p, 0)
	return p
}

// Clone is a disk with the same contents. It is cheap: both copy only what they change
// afterwards.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory(m.size, m.blockSize)
	for i, p := range m.chunks {
		if p.owner == m {
			p.owner = nil
		}
		c.chunks[i] = p
	}
	return c
}

// own returns a chunk that may be written, a copy if it was shared.
func (m *Memory) own(i int64) []byte {
	old := m.chunks[i]
	if old != nil && old.owner == m {
		return old.data[:]
	}
	p := &part{owner: m}
	if old != nil {
		p.data = old.data
	}
	m.chunks[i] = p
	return p.data[:]
}

// SetReadOnly makes later writes EROFS.
func (m *Memory) SetReadOnly(ro bool) { m.readOnly = ro }

func (m *Memory) Size() int64    { return m.size }
func (m *Memory) BlockSize() int { return m.blockSize }
func (m *Memory) ReadOnly() bool { return m.readOnly }

// check checks that a request is aligned and within the device.
func check(d block.Device, off, n int64) syscall.Errno {
	bs := int64(d.BlockSize())
	if off < 0 || n < 0 || off%bs != 0 || n%bs != 0 || off > d.Size() || n > d.Size()-off {
		return syscall.EINVAL
	}
	return 0
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func (m *Memory) read(p []byte, off int64) {
	for len(p) > 0 {
		i, at := off/chunk, off%chunk
		n := min(int64(len(p)), chunk-at)
		if c := m.chunks[i]; c != nil {
			copy(p[:n], c.data[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+n
	}
}

func (m *Memory) write(p []byte, off int64) {
	for len(p) > 0 {
		i, at := off/chunk, off%chunk
		n := min(int64(len(p)), chunk-at)
		transfer(m.own(i)[at:], p[:n])
		p, off = p[n:], off+n
	}
}

func (m *Memory) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	if e := check(m, off, total(bufs)); e != 0 {
		return e
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, b := range bufs {
		m.read(b, off)
		off += int64(len(b))
	}
	return 0
}

func (m *Memory) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	if e := check(m, off, total(bufs)); e != 0 {
		return e
	}
	if m.readOnly {
		return syscall.EROFS
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range bufs {
		m.write(b, off)
		off += int64(len(b))
	}
	return 0
}

func (m *Memory) Flush() syscall.Errno { return 0 }

// Discard fills the range with junk, so that no reader relies on its content.
func (m *Memory) Discard(off, n int64) syscall.Errno { return m.fill(off, n, 0xd5) }

func (m *Memory) WriteZeroes(off, n int64) syscall.Errno { return m.fill(off, n, 0) }

func (m *Memory) fill(off, n int64, with byte) syscall.Errno {
	if e := check(m, off, n); e != 0 {
		return e
	}
	if m.readOnly {
		return syscall.EROFS
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(off, n, with)
	return 0
}

func (m *Memory) set(off, n int64, with byte) {
	for end := off + n; off < end; {
		i, at := off/chunk, off%chunk
		n := min(end-off, chunk-at)
		if with == 0 && n == chunk {
			delete(m.chunks, i)
		} else {
			m.write(bytes.Repeat([]byte{with}, int(n)), off)
		}
		off += n
	}
}

// transfer copies as a device does, which may read memory while a program is writing to it:
// the race detector does not look.
//
//go:norace
func transfer(dst, src []byte) { copy(dst, src) }
