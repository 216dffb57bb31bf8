package pagecache

import (
	"syscall"
	"testing"
)

// badSector is a fakeFile with a page that cannot be read.
type badSector struct {
	*fakeFile
	page int64
}

func (b badSector) ReadData(bufs [][]byte, off int64) syscall.Errno {
	if off/PageSize <= b.page && b.page < off/PageSize+int64(len(bufs)) {
		return syscall.EIO
	}
	return b.fakeFile.ReadData(bufs, off)
}

// A page that cannot be read is an error of what asks for it, not of its
// neighbours, which are read ahead with it.
func TestReadAheadOfBadSector(t *testing.T) {
	const pages, bad = 3 * chunkPages, 100
	f := New(newMachine(1000)).NewFile(badSector{content(pages), bad}, pages*PageSize)
	p := make([]byte, PageSize)
	for i := range int64(pages) {
		want := syscall.Errno(0)
		if i == bad {
			want = syscall.EIO
		}
		if _, e := f.ReadAt(p, i*PageSize); e != want || e == 0 && p[0] != byte(i+1) {
			t.Errorf("page %d: %v, %d", i, e, p[0])
		}
	}
}
