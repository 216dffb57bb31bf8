package p9fs_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hugelgupf/p9/fsimpl/localfs"
	"github.com/hugelgupf/p9/p9"

	"github.com/yolk-unikernel/yolk/kernel/fs/p9fs"
)

// stream is a Transport over a connection, which matches answers to requests by their tags.
type stream struct {
	w       io.Writer
	maxData int

	mu      sync.Mutex
	waiting map[uint16]chan []byte
	ended   bool
}

func newStream(r io.Reader, w io.Writer) *stream {
	s := &stream{w: w, maxData: 1 << 20, waiting: map[uint16]chan []byte{}}
	go s.receive(r)
	return s
}

func (s *stream) receive(r io.Reader) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, c := range s.waiting {
				close(c)
			}
			s.ended = true
			clear(s.waiting)
			return
		}
		b := make([]byte, binary.LittleEndian.Uint32(head[:]))
		copy(b, head[:])
		if _, err := io.ReadFull(r, b[4:]); err != nil {
			continue
		}
		tag := binary.LittleEndian.Uint16(b[5:])
		s.mu.Lock()
		c := s.waiting[tag]
		delete(s.waiting, tag)
		s.mu.Unlock()
		c <- b
	}
}

func (s *stream) Exchange(out, in [][]byte) (int, error) {
	var b []byte
	for _, o := range out {
		b = append(b, o...)
	}
	c := make(chan []byte, 1)
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	s.waiting[binary.LittleEndian.Uint16(b[5:])] = c
	_, err := s.w.Write(b)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	answer, ok := <-c
	if !ok {
		return 0, io.ErrUnexpectedEOF
	}
	n := 0
	for _, i := range in {
		n += copy(i, answer[n:])
	}
	return len(answer), nil
}

// drain refuses new requests and waits for the answers to those under way.
func (s *stream) drain() {
	s.mu.Lock()
	s.ended = true
	for len(s.waiting) > 0 {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	s.mu.Unlock()
}

func (s *stream) MaxData() int { return s.maxData }

// counted counts a server's open files, and adds the methods that the library's local files
// lack.
type counted struct {
	p9.File
	n    *atomic.Int64
	path string
}

func (c counted) with(f p9.File, names ...string) counted {
	c.n.Add(1)
	return counted{f, c.n, filepath.Join(append([]string{c.path}, names...)...)}
}

func (c counted) Walk(names []string) ([]p9.QID, p9.File, error) {
	q, f, err := c.File.Walk(names)
	if err == nil {
		f = c.with(f, names...)
	}
	return q, f, err
}

func (c counted) Create(name string, mode p9.OpenFlags, perm p9.FileMode, uid p9.UID, gid p9.GID) (p9.File, p9.QID, uint32, error) {
	f, q, n, err := c.File.Create(name, mode, perm, uid, gid)
	if err == nil {
		f = c.with(f, name)
	}
	return f, q, n, err
}

func (c counted) Readdir(offset uint64, count uint32) (p9.Dirents, error) {
	entries, err := os.ReadDir(c.path)
	if err != nil {
		return nil, err
	}
	var list p9.Dirents
	for i := int(offset); i < len(entries) && len(list) < 500; i++ {
		info, err := entries[i].Info()
		if err != nil {
			return nil, err
		}
		q := p9.QID{Type: p9.ModeFromOS(info.Mode()).QIDType(), Path: info.Sys().(*syscall.Stat_t).Ino}
		list = append(list, p9.Dirent{QID: q, Offset: uint64(i + 1), Type: q.Type, Name: entries[i].Name()})
	}
	return list, nil
}

func (c counted) UnlinkAt(name string, flags uint32) error {
	if flags&0x200 != 0 {
		return syscall.Rmdir(filepath.Join(c.path, name))
	}
	return syscall.Unlink(filepath.Join(c.path, name))
}

func (c counted) Link(target p9.File, name string) error {
	return c.File.Link(target.(counted).File, name)
}

func (c counted) RenameAt(name string, dir p9.File, newName string) error {
	return c.File.RenameAt(name, dir.(counted).File, newName)
}

func (c counted) Renamed(parent p9.File, name string) { c.File.Renamed(parent.(counted).File, name) }

func (c counted) Close() error {
	c.n.Add(-1)
	return c.File.Close()
}

type attacher struct {
	p9.Attacher
	root counted
}

func (a attacher) Attach() (p9.File, error) {
	f, err := a.Attacher.Attach()
	return a.root.with(f), err
}

// peer is an independent server (github.com/hugelgupf/p9) for a temporary folder.
type peer struct {
	dir    string
	files  atomic.Int64 // the server's open files
	stream *stream

	closing atomic.Bool
}

func newPeer(t testing.TB) *peer {
	p := &peer{dir: t.TempDir()}
	ours, theirs := socketPair(t)
	p.stream = newStream(ours, ours)
	server := p9.NewServer(attacher{localfs.Attacher(p.dir), counted{n: &p.files, path: p.dir}})
	go server.Handle(theirs, theirs)
	t.Cleanup(p.stop)
	return p
}

// stop makes the server unreachable. The server itself keeps running: the library has a
// data race when a connection ends.
func (p *peer) stop() {
	p.closing.Store(true)
	p.stream.drain()
}

func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return conns[0], conns[1]
}

func (p *peer) mount(t testing.TB, readOnly bool) *p9fs.FS {
	t.Helper()
	fs, err := p9fs.Mount(p9fs.Config{Transport: p.stream, ReadOnly: readOnly, Dev: 77, Log: func(s string) {
		if !p.closing.Load() { // files may still be closed in the background
			t.Error(s)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}
