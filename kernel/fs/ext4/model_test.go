package ext4

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// modelNode is a file of the model.
type modelNode struct {
	kind   uint32
	data   []byte
	target string
	names  map[string]*modelNode
	parent *modelNode
	links  int
	mode   uint32
	attrs  map[string]string
	rdev   uint64
}

func newNode(kind uint32) *modelNode {
	n := &modelNode{kind: kind, mode: 0o600, links: 1, attrs: map[string]string{}}
	if kind == typeDir {
		n.names = map[string]*modelNode{}
	}
	return n
}

// model does random operations on a file system and the same on nodes in memory.
type model struct {
	t    testing.TB
	r    *rand.Rand
	fs   *FS
	root *modelNode
	dirs []*modelNode
	open []opened // files without names
	most int      // largest size of a file in bytes
	log  []string
}

type opened struct {
	i *Inode
	n *modelNode
}

func (m *model) path(n *modelNode) string {
	if n == m.root {
		return ""
	}
	for name, c := range n.parent.names {
		if c == n {
			return m.path(n.parent) + "/" + name
		}
	}
	m.t.Fatal("model: a directory has no name")
	return ""
}

func (m *model) dir() (*modelNode, *Inode) {
	n := m.dirs[m.r.IntN(len(m.dirs))]
	return n, walk(m.t, m.fs, m.path(n))
}

func (m *model) newName() string {
	n := 1 + m.r.IntN(12)
	if m.r.IntN(20) == 0 {
		n = 200 + m.r.IntN(56)
	}
	b := make([]byte, n)
	for k := range b {
		b[k] = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789.-_\xc3\xa4"[m.r.IntN(47)]
	}
	if s := string(b); s != "." && s != ".." {
		return s
	}
	return "x"
}

// oldName is an existing name of a directory, "" if it has none.
func (m *model) oldName(n *modelNode) string {
	if len(n.names) == 0 {
		return ""
	}
	list := make([]string, 0, len(n.names))
	for name := range n.names {
		list = append(list, name)
	}
	sort.Strings(list)
	return list[m.r.IntN(len(list))]
}

// agree fails unless both errors are the same; it returns true if the operation succeeded.
func (m *model) agree(what string, got, want syscall.Errno) bool {
	m.t.Helper()
	m.log = append(m.log, fmt.Sprint(what, " ", got))
	if got != want {
		for _, l := range m.log[max(0, len(m.log)-30):] {
			m.t.Log(l)
		}
		m.t.Fatalf("%s: %v, want %v", what, got, want)
	}
	return got == 0
}

func (m *model) file() (*modelNode, *Inode, func()) {
	if len(m.open) > 0 && m.r.IntN(8) == 0 {
		o := m.open[m.r.IntN(len(m.open))]
		return o.n, o.i, func() {}
	}
	for range 20 {
		n, d := m.dir()
		name := m.oldName(n)
		if name != "" && n.names[name].kind == typeReg {
			i, e := d.Lookup(name)
			ok(m.t, e)
			d.Put()
			return n.names[name], i, i.Put
		}
		d.Put()
	}
	return nil, nil, nil
}

func (m *model) step() {
	ops := []struct {
		weight int
		do     func()
	}{
		{20, m.create}, {8, m.link}, {14, m.unlink}, {6, m.rmdir}, {10, m.rename}, {30, m.write},
		{8, m.truncate}, {4, m.allocate}, {5, m.punch}, {4, m.zero}, {8, m.xattr}, {3, m.unnamed},
		{3, m.hold}, {3, m.letGo}, {3, m.setattr}, {2, m.fsync}, {4, m.read}, {2, m.reserve},
	}
	sum := 0
	for _, o := range ops {
		sum += o.weight
	}
	k := m.r.IntN(sum)
	for _, o := range ops {
		if k -= o.weight; k < 0 {
			o.do()
			return
		}
	}
}

func (m *model) create() {
	n, d := m.dir()
	defer d.Put()
	name := m.newName()
	c := newNode([]uint32{typeReg, typeReg, typeReg, typeDir, typeLink, typeChar, typeFIFO}[m.r.IntN(7)])
	want := syscall.Errno(0)
	if n.names[name] != nil {
		want = syscall.EEXIST
	}
	var i *Inode
	var e syscall.Errno
	if c.kind == typeLink {
		c.target = strings.Repeat("t", 1+m.r.IntN(100))
		i, e = d.Symlink(name, c.target, 1, 2)
		c.mode = 0o777
	} else {
		if c.kind == typeChar {
			c.rdev = uint64(m.r.IntN(1000))<<8 | uint64(m.r.IntN(256)) | uint64(m.r.IntN(100))<<20
		}
		i, e = d.Create(name, c.kind|c.mode, 1, 2, c.rdev)
	}
	if !m.agree("create "+name, e, want) {
		return
	}
	i.Put()
	n.names[name] = c
	if c.kind == typeDir {
		c.parent = n
		m.dirs = append(m.dirs, c)
	}
}

func (m *model) link() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	n, d := m.dir()
	defer d.Put()
	name := m.newName()
	want := syscall.Errno(0)
	if n.names[name] != nil {
		want = syscall.EEXIST
	}
	if m.agree("link "+name, d.Link(name, i), want) {
		n.names[name] = c
		c.links++
	}
}

func (m *model) unlink() {
	n, d := m.dir()
	defer d.Put()
	name := m.oldName(n)
	if m.r.IntN(20) == 0 {
		name = m.newName()
	}
	want := syscall.Errno(0)
	c := n.names[name]
	switch {
	case c == nil:
		want = syscall.ENOENT
	case c.kind == typeDir:
		want = syscall.EISDIR
	}
	if m.agree("unlink "+name, d.Unlink(name), want) {
		delete(n.names, name)
		c.links--
	}
}

func (m *model) rmdir() {
	n, d := m.dir()
	defer d.Put()
	name := m.oldName(n)
	want := syscall.Errno(0)
	c := n.names[name]
	switch {
	case c == nil:
		want = syscall.ENOENT
	case c.kind != typeDir:
		want = syscall.ENOTDIR
	case len(c.names) > 0:
		want = syscall.ENOTEMPTY
	}
	if m.agree("rmdir "+name, d.Rmdir(name), want) {
		delete(n.names, name)
		m.forget(c)
	}
}

func (m *model) forget(c *modelNode) {
	c.links = 0
	m.dirs = slices.DeleteFunc(m.dirs, func(d *modelNode) bool { return d == c })
}

func (m *model) below(dir, n *modelNode) bool {
	for ; n != nil; n = n.parent {
		if n == dir {
			return true
		}
	}
	return false
}

func (m *model) rename() {
	from, d := m.dir()
	defer d.Put()
	to, e := m.dir()
	defer e.Put()
	old, name := m.oldName(from), m.newName()
	if old == "" {
		return
	}
	if m.r.IntN(3) == 0 {
		if s := m.oldName(to); s != "" {
			name = s
		}
	}
	exchange := m.r.IntN(4) == 0
	c, v := from.names[old], to.names[name]
	want := syscall.Errno(0)
	switch {
	case exchange && v == nil:
		want = syscall.ENOENT
	case c == v:
		m.agree("rename to itself", d.Rename(old, e, name, exchange), 0)
		return
	case v != nil && v == from && !exchange:
		want = syscall.ENOTEMPTY
	case c.kind == typeDir && m.below(c, to), exchange && v.kind == typeDir && m.below(v, from):
		want = syscall.EINVAL
	case exchange || v == nil:
	case c.kind == typeDir && v.kind != typeDir:
		want = syscall.ENOTDIR
	case c.kind != typeDir && v.kind == typeDir:
		want = syscall.EISDIR
	case v.kind == typeDir && len(v.names) > 0:
		want = syscall.ENOTEMPTY
	}
	got := d.Rename(old, e, name, exchange)
	if want != 0 && got != 0 {
		want = got // several errors are possible
	}
	if !m.agree("rename "+old+" "+name, got, want) {
		return
	}
	delete(from.names, old)
	to.names[name] = c
	if c.kind == typeDir {
		c.parent = to
	}
	switch {
	case exchange:
		from.names[old] = v
		if v.kind == typeDir {
			v.parent = from
		}
	case v != nil && v.kind == typeDir:
		m.forget(v)
	case v != nil:
		v.links--
	}
}

func (m *model) write() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	n := 1 + m.r.IntN(30000)
	off := m.r.IntN(max(1, min(m.most, len(c.data)+20000)))
	if m.r.IntN(3) == 0 {
		off = m.r.IntN(m.most)
	}
	n = min(n, m.most-off)
	if n <= 0 {
		return
	}
	data := pattern(m.r.IntN(1<<30), n)
	if !m.agree(fmt.Sprint("write ", i.ino, " ", off, " ", n), writeAt(i, data, int64(off)), 0) {
		return
	}
	if off+n > len(c.data) {
		c.data = append(c.data, make([]byte, off+n-len(c.data))...)
	}
	copy(c.data[off:], data)
}

func (m *model) truncate() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	size := m.r.IntN(m.most)
	if m.r.IntN(2) == 0 {
		size = m.r.IntN(len(c.data) + 1)
	}
	m.agree(fmt.Sprint("truncate ", i.ino, " ", size), i.Truncate(int64(size)), 0)
	c.data = append([]byte(nil), c.data[:min(size, len(c.data))]...)
	c.data = append(c.data, make([]byte, size-len(c.data))...)
}

func (m *model) span() (off, n int) {
	off = m.r.IntN(m.most)
	return off, 1 + m.r.IntN(min(60000, m.most-off))
}

func (m *model) allocate() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	off, n := m.span()
	keep := m.r.IntN(2) == 0
	m.agree(fmt.Sprint("allocate ", i.ino, " ", off, " ", n, keep), i.Allocate(int64(off), int64(n), keep), 0)
	if !keep && off+n > len(c.data) {
		c.data = append(c.data, make([]byte, off+n-len(c.data))...)
	}
}

func (m *model) clear(c *modelNode, off, n int) {
	if off < len(c.data) {
		clear(c.data[off:min(off+n, len(c.data))])
	}
}

func (m *model) punch() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	off, n := m.span()
	m.agree(fmt.Sprint("punch ", i.ino, " ", off, " ", n), i.Punch(int64(off), int64(n)), 0)
	m.clear(c, off, n)
}

func (m *model) zero() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	off, n := m.span()
	m.agree(fmt.Sprint("zero ", i.ino, " ", off, " ", n), i.Zero(int64(off), int64(n)), 0)
	m.clear(c, off, n)
}

func (m *model) xattr() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	name := []string{"user.", "trusted.", "security."}[m.r.IntN(3)] + strings.Repeat("n", 1+m.r.IntN(8))
	if m.r.IntN(3) == 0 {
		want := syscall.Errno(0)
		if _, in := c.attrs[name]; !in {
			want = syscall.ENODATA
		}
		m.agree("removexattr "+name, i.RemoveXattr(name), want)
		delete(c.attrs, name)
		return
	}
	value := pattern(m.r.IntN(1000), m.r.IntN(100))
	if m.r.IntN(5) == 0 {
		value = pattern(m.r.IntN(1000), m.r.IntN(900))
	}
	e := i.SetXattr(name, value, 0)
	if e == syscall.ENOSPC {
		return
	}
	m.agree("setxattr "+name, e, 0)
	c.attrs[name] = string(value)
}

func (m *model) unnamed() {
	_, d := m.dir()
	defer d.Put()
	i, e := d.CreateUnnamed(typeReg|0o600, 1, 2)
	m.agree("unnamed", e, 0)
	c := newNode(typeReg)
	c.links = 0
	m.open = append(m.open, opened{i, c})
}

// hold opens a file, which may then lose its names.
func (m *model) hold() {
	if len(m.open) > 10 {
		return
	}
	c, i, put := m.file()
	if c == nil {
		return
	}
	i.Ref()
	put()
	m.open = append(m.open, opened{i, c})
}

func (m *model) letGo() {
	if len(m.open) > 0 {
		k := m.r.IntN(len(m.open))
		m.open[k].i.Put()
		m.open = slices.Delete(m.open, k, k+1)
	}
}

func (m *model) setattr() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	if m.r.IntN(2) == 0 {
		m.agree("times", i.SetAttr(SetAtime|SetMtime, Attr{Atime: 5, Mtime: 6}), 0)
		return
	}
	c.mode = uint32(m.r.IntN(0o10000))
	m.agree("chmod", i.SetAttr(SetMode, Attr{Mode: c.mode}), 0)
}

func (m *model) fsync() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	m.agree("fsync", i.Fsync(m.r.IntN(2) == 0), 0)
}

func (m *model) read() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	got, e := readAll(i)
	m.agree("read", e, 0)
	same(m.t, "read", got, c.data)
}

func (m *model) reserve() {
	c, i, put := m.file()
	if c == nil {
		return
	}
	defer put()
	off, n := m.span()
	m.agree("reserve", i.Reserve(int64(off), int64(n)), 0)
	if m.r.IntN(2) == 0 {
		i.Unreserve(int64(off), int64(n))
	}
}

// check compares everything with the model.
func (m *model) check(f *FS) {
	m.t.Helper()
	i := root(m.t, f)
	m.checkNode(f, i, m.root, "")
	i.Put()
}

func (m *model) checkNode(f *FS, i *Inode, n *modelNode, path string) {
	m.t.Helper()
	a := i.Attr()
	if a.Mode&typeMask != n.kind || n != m.root && a.Mode&0xfff != n.mode || a.Rdev != n.rdev || n.kind != typeDir && int(a.Nlink) != n.links {
		m.t.Fatalf("%s: attributes %+v; want %+v", path, a, n)
	}
	list, e := i.ListXattr()
	ok(m.t, e)
	if len(list) != len(n.attrs) {
		m.t.Fatalf("%s: attributes %v, want %v", path, list, n.attrs)
	}
	for name, v := range n.attrs {
		got, e := i.GetXattr(name)
		ok(m.t, e)
		same(m.t, path+" "+name, got, []byte(v))
	}
	switch n.kind {
	case typeReg:
		got, e := readAll(i)
		ok(m.t, e)
		same(m.t, path, got, n.data)
	case typeLink:
		if got, e := i.Readlink(); e != 0 || got != n.target {
			m.t.Fatalf("%s: link to %q %v", path, got, e)
		}
	case typeDir:
		m.checkDir(f, i, n, path)
	}
}

func (m *model) checkDir(f *FS, i *Inode, n *modelNode, path string) {
	m.t.Helper()
	got := names(m.t, i)
	if len(got) != len(n.names) {
		m.t.Fatalf("%s: %d names, want %d", path, len(got), len(n.names))
	}
	for name, c := range n.names {
		ci, e := i.Lookup(name)
		if e != 0 {
			m.t.Fatalf("%s/%s: %v", path, name, e)
		}
		m.checkNode(f, ci, c, path+"/"+name)
		ci.Put()
	}
}

// save writes a disk to a file for e2fsck.
func save(t testing.TB, disk *blocktest.Memory) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(disk.Size()); err != nil {
		t.Fatal(err)
	}
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < disk.Size(); off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), disk.Size()-off)]
		ok(t, disk.ReadAt([][]byte{p}, off))
		if bytes.Equal(p, zero[:len(p)]) {
			continue
		}
		if _, err := file.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func load(t testing.TB, path string) *blocktest.Memory {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return blocktest.FromBytes(image, 512)
}

// runModel does batches of operations. After each batch the disk is unmounted, or loses
// power after a Sync, and must be sound and equal to the model.
func runModel(t *testing.T, disk *blocktest.Memory, seed uint64, batches, steps int) {
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 1)), root: newNode(typeDir), most: 600000}
	m.dirs = []*modelNode{m.root}
	m.fs = mount(t, disk, Options{CacheBytes: 1 << 18})
	r := root(t, m.fs)
	ok(t, r.Rmdir("lost+found"))
	r.Put()
	for batch := range batches {
		for range steps {
			m.step()
		}
		m.check(m.fs)
		if batch%2 == 1 {
			ok(t, m.fs.Sync())
			crashed := disk.Clone()
			f := mount(t, crashed, Options{})
			m.check(f)
			unmount(t, f)
			fsck(t, save(t, crashed))
		}
		for len(m.open) > 0 {
			m.letGo()
		}
		unmount(t, m.fs)
		fsck(t, save(t, disk))
		m.fs = mount(t, disk, Options{CacheBytes: 1 << 18})
		m.check(m.fs)
	}
	unmount(t, m.fs)
}

func TestModel(t *testing.T) {
	each(t, func(t *testing.T, args []string) {
		disk := load(t, mkfs(t, "64M", append([]string{"-N", "8000"}, args...)...))
		rounds := 4
		if testing.Short() {
			rounds = 1
		}
		runModel(t, disk, 1, rounds, 400)
	})
}
