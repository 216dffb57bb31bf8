package rawdisk_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/rawdisk"
)

// fake is a disk in memory that checks that requests are valid for a Device.
type fake struct {
	t        *testing.T
	data     []byte
	block    int
	readOnly bool
	zeroes   bool // WriteZeroes works
	flushes  int
	fail     syscall.Errno
}

var _ block.Device = (*fake)(nil)

func (f *fake) Size() int64    { return int64(len(f.data)) }
func (f *fake) BlockSize() int { return f.block }
func (f *fake) ReadOnly() bool { return f.readOnly }

func (f *fake) each(bufs [][]byte, off int64, do func(part, disk []byte)) syscall.Errno {
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	if (off|total)&int64(f.block-1) != 0 || total == 0 || off < 0 || off+total > f.Size() {
		f.t.Errorf("request for %d bytes at %d of a disk of %d in blocks of %d", total, off, f.Size(), f.block)
		return syscall.EINVAL
	}
	for _, b := range bufs {
		do(b, f.data[off:][:len(b)])
		off += int64(len(b))
	}
	return f.fail
}

func (f *fake) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	return f.each(bufs, off, func(part, disk []byte) { copy(part, disk) })
}

func (f *fake) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	if f.readOnly {
		return syscall.EROFS
	}
	return f.each(bufs, off, func(part, disk []byte) { copy(disk, part) })
}

func (f *fake) Flush() syscall.Errno { f.flushes++; return f.fail }

func (f *fake) Discard(off, n int64) syscall.Errno { clear(f.data[off:][:n]); return 0 }

func (f *fake) WriteZeroes(off, n int64) syscall.Errno {
	if !f.zeroes {
		return syscall.EOPNOTSUPP
	}
	clear(f.data[off:][:n])
	return 0
}

func open(t *testing.T, f *fake, noDMA func([]byte) bool) kernel.File {
	t.Helper()
	file, e := rawdisk.New(f, noDMA).Open(nil, syscall.O_RDWR)
	if e != 0 {
		t.Fatal(e)
	}
	return file
}

// Reads and writes of any length at any offset, from memory of any kind, work as on a file.
func TestReadWrite(t *testing.T) {
	for _, size := range []int{512, 4096} {
		for name, noDMA := range map[string]func([]byte) bool{
			"heap": nil, "stack": func([]byte) bool { return true },
		} {
			f := &fake{t: t, data: make([]byte, 1<<20), block: size}
			file := open(t, f, noDMA)
			mirror := make([]byte, len(f.data))
			src := rand.NewChaCha8([32]byte{byte(size)})
			rnd := rand.New(src)
			for range 300 {
				off, n := rnd.IntN(len(mirror)), rnd.IntN(200_000)
				if rnd.IntN(2) == 0 {
					off, n = off&^(size-1), n&^(size-1)
				}
				want := min(n, len(mirror)-off)
				p := make([]byte, n)
				src.Read(p)
				if got, e := file.Write(p, int64(off)); got != want || e != 0 {
					t.Fatalf("%s: Write of %d bytes at %d = %d, %v; want %d", name, n, off, got, e, want)
				}
				copy(mirror[off:], p)
				off = rnd.IntN(len(mirror))
				want = min(n, len(mirror)-off)
				if got, e := file.Read(p, int64(off)); got != want || e != 0 || !bytes.Equal(p[:want], mirror[off:][:want]) {
					t.Fatalf("%s: Read of %d bytes at %d = %d, %v; want %d and what was written", name, n, off, got, e, want)
				}
			}
			if !bytes.Equal(mirror, f.data) {
				t.Errorf("%s: the disk differs", name)
			}
		}
	}
}

// Edge cases have the results of Linux's block/fops.c.
func TestEdges(t *testing.T) {
	f := &fake{t: t, data: make([]byte, 8192), block: 512}
	file := open(t, f, nil)
	if n, e := file.Write([]byte{1}, 8192); n != 0 || e != syscall.ENOSPC {
		t.Errorf("Write at the end = %d, %v; want ENOSPC", n, e)
	}
	if n, e := file.Read(make([]byte, 10), 9000); n != 0 || e != 0 {
		t.Errorf("Read beyond the end = %d, %v; want 0", n, e)
	}
	seek := file.(kernel.Seeker)
	for _, tt := range []struct {
		off    int64
		whence int
		want   int64
		e      syscall.Errno
	}{{0, 2, 8192, 0}, {-512, 2, 7680, 0}, {8193, 0, 0, syscall.EINVAL}, {-1, 0, 0, syscall.EINVAL}} {
		if pos, e := seek.SeekTo(tt.off, tt.whence, 0); e != tt.e || e == 0 && pos != tt.want {
			t.Errorf("SeekTo(%d, %d) = %d, %v; want %d, %v", tt.off, tt.whence, pos, e, tt.want, tt.e)
		}
	}
	f.fail = syscall.EIO
	for name, do := range map[string]func() (int, syscall.Errno){
		"Read":  func() (int, syscall.Errno) { return file.Read(make([]byte, 512), 0) },
		"Write": func() (int, syscall.Errno) { return file.Write(make([]byte, 100), 0) },
		"Sync":  func() (int, syscall.Errno) { return 0, file.(kernel.Syncer).Sync(false) },
	} {
		if n, e := do(); n != 0 || e != syscall.EIO {
			t.Errorf("%s of a disk that fails = %d, %v; want EIO", name, n, e)
		}
	}
	if f.flushes != 1 {
		t.Errorf("Sync has flushed %d times; want 1", f.flushes)
	}
	f.fail, f.readOnly = 0, true
	if n, e := file.Write([]byte{1}, 0); n != 0 || e != syscall.EPERM {
		t.Errorf("Write to a read-only disk = %d, %v; want EPERM", n, e)
	}
}

func TestZero(t *testing.T) {
	for _, zeroes := range []bool{true, false} {
		f := &fake{t: t, data: bytes.Repeat([]byte{7}, 256<<10), block: 512, zeroes: zeroes}
		r := open(t, f, nil).(kernel.Resizer)
		for _, tt := range []struct {
			mode   int
			off, n int64
			want   syscall.Errno
		}{
			{0x03, 512, 150 << 10, 0}, {0x10, 0, 512, 0}, {0x10, 1, 512, syscall.EINVAL}, {0x10, 0, 1 << 20, syscall.EINVAL},
			{0, 0, 512, syscall.EOPNOTSUPP},
		} {
			if e := r.Allocate(tt.mode, tt.off, tt.n); e != tt.want {
				t.Errorf("Allocate(%#x, %d, %d) = %v; want %v", tt.mode, tt.off, tt.n, e, tt.want)
			}
		}
		want := bytes.Repeat([]byte{7}, 256<<10)
		clear(want[:512+150<<10])
		if !bytes.Equal(f.data, want) {
			t.Errorf("WriteZeroes %v: the disk is not what it should be", zeroes)
		}
		if e := r.Truncate(0); e != syscall.EINVAL {
			t.Errorf("Truncate = %v; want EINVAL", e)
		}
	}
}

func TestIoctl(t *testing.T) {
	f := &fake{t: t, data: bytes.Repeat([]byte{7}, 64<<10), block: 4096}
	file := open(t, f, nil).(kernel.Ioctler)
	ask := func(req uintptr, arg []byte) syscall.Errno {
		var a kernel.Args
		a.N[2] = uintptr(unsafe.Pointer(&arg[0]))
		_, e := file.Ioctl(req, a)
		return e
	}
	for name, tt := range map[string]struct {
		req  uintptr
		size int
		want uint64
	}{
		"BLKGETSIZE64": {0x80081272, 8, 64 << 10}, "BLKGETSIZE": {0x1260, 8, 128}, "BLKSSZGET": {0x1268, 4, 4096},
		"BLKPBSZGET": {0x127b, 4, 4096}, "BLKROGET": {0x125e, 4, 0},
	} {
		b := bytes.Repeat([]byte{0xee}, 16)
		e := ask(tt.req, b)
		got := binary.NativeEndian.Uint64(b)
		if tt.size == 4 {
			got = uint64(binary.NativeEndian.Uint32(b))
		}
		if e != 0 || got != tt.want || b[tt.size] != 0xee {
			t.Errorf("%s = %v, % x; want %d in %d bytes", name, e, b, tt.want, tt.size)
		}
	}
	span := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 4096), 8192)
	if e := ask(0x127f, span); e != 0 || f.data[4095] != 7 || f.data[4096] != 0 || f.data[12287] != 0 || f.data[12288] != 7 {
		t.Errorf("BLKZEROOUT = %v", e)
	}
	span[0] = 1
	if e := ask(0x1277, span); e != syscall.EINVAL {
		t.Errorf("BLKDISCARD of a part of a block = %v; want EINVAL", e)
	}
	if e := ask(0x5401, span); e != syscall.ENOTTY {
		t.Errorf("TCGETS = %v; want ENOTTY", e)
	}
}

// Concurrent writes to parts of one block do not undo each other.
func TestPartsOfOneBlock(t *testing.T) {
	f := &fake{t: t, data: make([]byte, 4096), block: 4096}
	var wg sync.WaitGroup
	d := rawdisk.New(&slow{f, sync.Mutex{}}, nil)
	for g := range 8 {
		wg.Go(func() {
			file, _ := d.Open(nil, syscall.O_RDWR)
			for i := range 100 {
				file.Write([]byte{byte(g + 1)}, int64(g*100+i))
			}
		})
	}
	wg.Wait()
	for g := range 8 {
		if !bytes.Equal(f.data[g*100:][:100], bytes.Repeat([]byte{byte(g + 1)}, 100)) {
			t.Errorf("writer %d's bytes are lost", g)
		}
	}
}

// slow yields between requests and answers one at a time.
type slow struct {
	*fake
	mu sync.Mutex
}

func (s *slow) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.ReadAt(bufs, off)
}

func (s *slow) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.WriteAt(bufs, off)
}
