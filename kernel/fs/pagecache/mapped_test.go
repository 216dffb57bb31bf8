package pagecache

import (
	"slices"
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// mappingMachine is a fakeMachine that maps files: it records which pages mappings see, and
// carries out a program's stores.
type mappingMachine struct {
	*fakeMachine
	files map[machine.File]*mappedFile
}

type mappedFile struct {
	page  map[uintptr]machine.Page // by index
	pages uintptr                  // size of the file
	runs  []machine.Run
}

func newMappingMachine(pages int) *mappingMachine {
	return &mappingMachine{fakeMachine: newMachine(pages), files: map[machine.File]*mappedFile{}}
}

// file returns the machine's part of a file, locked until done is called.
func (m *mappingMachine) file(h machine.File) (f *mappedFile, done func()) {
	m.mu.Lock()
	return m.files[h], m.mu.Unlock
}

func (m *mappingMachine) NewFile(machine.Reader) (machine.File, syscall.Errno) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := machine.File(len(m.files) + 1)
	m.files[h] = &mappedFile{page: map[uintptr]machine.Page{}}
	return h, 0
}

func (m *mappingMachine) FreeFile(h machine.File) {
	f, done := m.file(h)
	defer done()
	f.drop(m, 0, ^uintptr(0))
	m.files[h] = nil
}

func (m *mappingMachine) MapFile(machine.File, uintptr, uintptr, uintptr, uintptr, uintptr) (uintptr, syscall.Errno) {
	return 1 << 20, 0
}

func (m *mappingMachine) ReachFile(machine.File, uintptr) (bool, syscall.Errno) { return false, 0 }

func (m *mappingMachine) ShowPage(h machine.File, index uintptr, page uint64) machine.Page {
	f, done := m.file(h)
	defer done()
	had := f.page[index]
	if had != 0 {
		f.page[index] = had &^ machine.PageNew
	} else if page != 0 {
		f.page[index] = machine.Page(page) | machine.PagePresent
	}
	return had
}

func (m *mappingMachine) DropPages(h machine.File, first, end uintptr) {
	f, done := m.file(h)
	defer done()
	f.drop(m, first, end)
}

func (m *mappingMachine) SetFilePages(h machine.File, pages uintptr) {
	f, done := m.file(h)
	defer done()
	if pages < f.pages {
		f.drop(m, pages, ^uintptr(0))
	}
	f.pages = pages
}

func (m *mappingMachine) CollectPages(h machine.File, first, end uintptr, out []machine.Stored, all bool) (n int) {
	f, done := m.file(h)
	defer done()
	for i := first; i < min(end, f.pages) && n < len(out); i++ {
		if p := f.page[i]; p&machine.PageDirty != 0 || all && p&machine.PageNew != 0 {
			out[n] = machine.Stored{Index: i, Page: p}
			f.page[i] = p &^ (machine.PageDirty | machine.PageNew)
			n++
		}
	}
	return n
}

func (m *mappingMachine) EndCollect(machine.File) {}

func (m *mappingMachine) SetRuns(h machine.File, runs []machine.Run) syscall.Errno {
	f, done := m.file(h)
	defer done()
	f.runs = slices.Clone(runs)
	return 0
}

// drop removes pages from the table and frees those that only the machine has.
func (f *mappedFile) drop(m *mappingMachine, first, end uintptr) {
	for i, p := range f.page {
		if i < first || i >= end {
			continue
		}
		if p&machine.PageNew != 0 {
			m.free = append(m.free, p.Address())
		}
		delete(f.page, i)
	}
}

// fault returns the page at off of a mapped file as a program sees it: nil is SIGBUS. A
// missing page is read from the device if the machine can read it.
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
		if slices.ContainsFunc(t.runs, func(r machine.Run) bool { return r.First <= i && i < r.First+r.Pages }) {
			f.b.ReadData([][]byte{p}, int64(i)*PageSize)
		}
		t.page[i] = machine.Page(frame[0]) | machine.PagePresent | machine.PageNew
	}
	if i >= t.pages {
		return nil
	}
	return pageBytes(t.page[i].Address())
}

// store stores p at off of a mapped file, within a page, as a program does; false is SIGBUS.
func (m *mappingMachine) store(f *File, p string, off int64) bool {
	page := m.fault(f, off)
	if page == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[f.mapped].page[uintptr(off/PageSize)] |= machine.PageDirty
	copy(page[off%PageSize:], p)
	return true
}

// placed is a fakeFile on a device that the machine can read.
type placed struct{ *fakeFile }

func (placed) Reader() machine.Reader { return 1 }

func (p placed) Runs() ([]machine.Run, syscall.Errno) {
	return []machine.Run{{First: 0, Pages: uintptr(len(p.data) / PageSize), Sector: 0}}, 0
}
