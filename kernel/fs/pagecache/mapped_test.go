package pagecache

import (
	"slices"
	"syscall"
	"unsafe"
)

// Bits of a page in the machine's table: runtime's machine_files.go.
const (
	filePresent = 1 << 0
	fileNew     = 1 << 2
)

// mappingMachine is a fakeMachine that knows which pages mappings may see, and
// does what a program's stores do.
type mappingMachine struct {
	*fakeMachine
	files map[uintptr]*mappedFile
}

type mappedFile struct {
	page  map[uintptr]uintptr // by index: address and bits
	pages uintptr             // of the file
	runs  []Run
}

func newMappingMachine(pages int) *mappingMachine {
	return &mappingMachine{fakeMachine: newMachine(pages), files: map[uintptr]*mappedFile{}}
}

func (m *mappingMachine) MappedFile(op int, file uintptr, a *[5]uintptr) (uintptr, syscall.Errno) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[file]
	switch op {
	case opNew:
		h := uintptr(len(m.files) + 1)
		m.files[h] = &mappedFile{page: map[uintptr]uintptr{}}
		return h, 0
	case opFree:
		f.drop(m, 0, ^uintptr(0))
		m.files[file] = nil
	case opMap:
		return 1 << 20, 0
	case opInstall:
		had := f.page[a[0]]
		if had != 0 {
			f.page[a[0]] = had &^ fileNew
		} else if a[1] != 0 {
			f.page[a[0]] = a[1] | filePresent
		}
		return had, 0
	case opDrop:
		f.drop(m, a[0], a[1])
	case opSize:
		if a[0] < f.pages {
			f.drop(m, a[0], ^uintptr(0))
		}
		f.pages = a[0]
	case opCollect:
		return f.collect(a), 0
	case opRuns:
		f.runs = slices.Clone(unsafe.Slice((*Run)(*(*unsafe.Pointer)(unsafe.Pointer(&a[0]))), a[1]))
	}
	return 0, 0
}

// drop takes pages from the table and frees those that only it knows.
func (f *mappedFile) drop(m *mappingMachine, first, end uintptr) {
	for i, p := range f.page {
		if i < first || i >= end {
			continue
		}
		if p&fileNew != 0 {
			m.free = append(m.free, uint64(p&^pageBits))
		}
		delete(f.page, i)
	}
}

func (f *mappedFile) collect(a *[5]uintptr) (n uintptr) {
	out := unsafe.Slice((*uint64)(*(*unsafe.Pointer)(unsafe.Pointer(&a[2]))), 2*a[3])
	for i := a[0]; i < min(a[1], f.pages) && n < a[3]; i++ {
		if p := f.page[i]; p&pageDirty != 0 || a[4] != 0 && p&fileNew != 0 {
			out[2*n], out[2*n+1] = uint64(i), uint64(p)
			f.page[i] = p &^ (pageDirty | fileNew)
			n++
		}
	}
	return n
}

// fault returns the page at off of a mapped file as a program sees it: nil is SIGBUS.
// What is missing is read from the device if it has a place there.
func (m *mappingMachine) fault(f *File, off int64) []byte {
	frame := make([]uint64, 1)
	m.TakePages(frame, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	t, i := m.files[f.mapped], uintptr(off/PageSize)
	if i >= t.pages || t.page[i] != 0 {
		m.free = append(m.free, frame...)
	} else {
		p := pageBytes(frame[0])
		clear(p)
		if slices.ContainsFunc(t.runs, func(r Run) bool { return r.First <= i && i < r.First+r.Pages }) {
			f.b.ReadData([][]byte{p}, int64(i)*PageSize)
		}
		t.page[i] = uintptr(frame[0]) | filePresent | fileNew
	}
	if i >= t.pages {
		return nil
	}
	return pageBytes(uint64(t.page[i] &^ pageBits))
}

// store stores p at off of a mapped file as a program does, within a page; false
// is SIGBUS.
func (m *mappingMachine) store(f *File, p string, off int64) bool {
	page := m.fault(f, off)
	if page == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[f.mapped].page[uintptr(off/PageSize)] |= pageDirty
	copy(page[off%PageSize:], p)
	return true
}

// placed is a fakeFile on a device that the machine can read.
type placed struct{ *fakeFile }

func (placed) Reader() uintptr { return 1 }

func (p placed) Runs() ([]Run, syscall.Errno) {
	return []Run{{0, uintptr(len(p.data) / PageSize), 0}}, 0
}
