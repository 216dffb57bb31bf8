package p9fs_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/p9fs"
)

// script is a Transport whose answers are made by a function of the request.
type script func(request []byte) (answer []byte, n int, err error)

var scriptMu sync.Mutex

func (s script) MaxData() int { return 64 << 10 }
func (s script) Exchange(out, in [][]byte) (int, error) {
	scriptMu.Lock() // files are closed in the background
	defer scriptMu.Unlock()
	answer, n, err := s(slices.Concat(out...))
	for _, i := range in {
		answer = answer[copy(i, answer):]
	}
	return n, err
}

// message makes a message of fields: uint8 to uint64, strings, bytes.
func message(kind byte, tag uint16, fields ...any) []byte {
	b := []byte{0, 0, 0, 0, kind, byte(tag), byte(tag >> 8)}
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(f))), f...)
		case []byte:
			b = append(b, f...)
		default:
			b, _ = binary.Append(b, binary.LittleEndian, f)
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

func tagOf(request []byte) uint16 { return binary.LittleEndian.Uint16(request[5:]) }

var (
	qidFile = make([]byte, 13)
	qidDir  = append([]byte{0x80}, make([]byte, 12)...)
)

// These are types of messages of 9P2000.L. An answer has the type of its request plus one, or
// rlerror.
const (
	rlerror   = 7
	tstatfs   = 8
	tlopen    = 12
	tlcreate  = 14
	treadlink = 22
	tgetattr  = 24
	treaddir  = 40
	tversion  = 100
	tattach   = 104
	twalk     = 110
	tread     = 116
	twrite    = 118
)

// polite gives correct answers to the requests of a mount.
func polite(req []byte) []byte {
	switch tag := tagOf(req); req[4] {
	case tversion:
		return message(tversion+1, tag, uint32(32<<10), "9P2000.L")
	case tattach:
		return message(tattach+1, tag, qidDir)
	case twalk:
		if binary.LittleEndian.Uint16(req[15:]) == 0 {
			return message(twalk+1, tag, uint16(0))
		}
		return message(twalk+1, tag, uint16(1), qidFile)
	case tlopen, tlcreate:
		return message(req[4]+1, tag, qidFile, uint32(0))
	case tgetattr:
		return message(tgetattr+1, tag, make([]byte, 153))
	case tread, treaddir:
		return message(req[4]+1, tag, uint32(0))
	case twrite:
		return message(twrite+1, tag, uint32(1))
	case treadlink:
		return message(treadlink+1, tag, "target")
	default:
		return message(req[4]+1, tag, make([]byte, 100))
	}
}

func whole(b []byte) ([]byte, int, error) { return b, len(b), nil }

func TestMountRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   byte
		answer func(tag uint16) []byte
		want   error
	}{
		"old protocol":  {tversion, func(tag uint16) []byte { return message(tversion+1, tag, uint32(8192), "9P2000") }, p9fs.ErrVersion},
		"tiny messages": {tversion, func(tag uint16) []byte { return message(tversion+1, tag, uint32(512), "9P2000.L") }, p9fs.ErrVersion},
		"huge messages": {tversion, func(tag uint16) []byte { return message(tversion+1, tag, uint32(1<<31), "9P2000.L") }, p9fs.ErrVersion},
		"no version":    {tversion, func(tag uint16) []byte { return message(tversion+1, tag) }, p9fs.ErrVersion},
		"no access":     {tattach, func(tag uint16) []byte { return message(rlerror, tag, uint32(syscall.EACCES)) }, syscall.EACCES},
		"no qid":        {tattach, func(tag uint16) []byte { return message(tattach+1, tag) }, p9fs.ErrServer},
	} {
		_, err := p9fs.Mount(p9fs.Config{Transport: script(func(req []byte) ([]byte, int, error) {
			if req[4] == tt.kind {
				return whole(tt.answer(tagOf(req)))
			}
			return whole(polite(req))
		})})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: Mount = %v; want %v", name, err, tt.want)
		}
	}
}

// use calls every method of a file system.
func use(fs *p9fs.FS) (errnos []syscall.Errno) {
	note := func(e syscall.Errno) { errnos = append(errnos, e) }
	root := fs.Root()
	var st syscall.Stat_t
	var statfs syscall.Statfs_t
	note(fs.StatFS(&statfs))
	note(root.Stat(&st))
	note(root.SetAttr(kernel.AttrChange{Mask: kernel.AttrMode | kernel.AttrMtime, Mtime: -1}))
	_, e := root.Create("d", syscall.S_IFDIR|0o755, 0)
	note(e)
	_, e = root.Create("n", syscall.S_IFIFO|0o755, 0)
	note(e)
	_, e = root.Symlink("s", "t")
	note(e)
	note(root.Rename("a", root, "b", false))
	note(root.Remove("a", true))
	if d, e := root.Open(0); e == 0 {
		note(d.(kernel.DirReader).ReadDir(2, func(kernel.DirEntry) bool { return true }))
		note(d.Stat(&st))
		d.Release()
	}
	n, e := root.Lookup("f")
	note(e)
	if e != 0 {
		return errnos
	}
	note(root.Link("l", n))
	if l, ok := n.(kernel.Symlink); ok {
		_, e := l.Readlink()
		note(e)
	}
	f, e := n.Open(syscall.O_RDWR)
	note(e)
	if e != 0 {
		return errnos
	}
	for _, size := range []int{10, 5000, 100_000} {
		b := make([]byte, size)
		n, e := f.Read(b, 0)
		if n < 0 || n > size {
			panic("Read returns an impossible length")
		}
		note(e)
		n, e = f.Write(b, 0)
		if n < 0 || n > size {
			panic("Write returns an impossible length")
		}
		note(e)
	}
	if _, ok := f.(kernel.DirReader); !ok {
		note(f.(kernel.Syncer).Sync(false))
		note(f.(kernel.Resizer).Truncate(3))
	}
	f.Release()
	return errnos
}

// An answer that breaks the protocol ends the mount.
func TestHostileServer(t *testing.T) {
	u32 := binary.LittleEndian.PutUint32
	for name, spoil := range map[string]func(b []byte) (answer []byte, n int){
		"size beyond the answer": func(b []byte) ([]byte, int) { u32(b, uint32(len(b)+1)); return b, len(b) },
		"size of nothing":        func(b []byte) ([]byte, int) { u32(b, 0); return b, len(b) },
		"no answer":              func(b []byte) ([]byte, int) { return b, 0 },
		"half a header":          func(b []byte) ([]byte, int) { return b, 5 },
		"another tag":            func(b []byte) ([]byte, int) { b[5]++; return b, len(b) },
		"another type":           func(b []byte) ([]byte, int) { b[4] += 2; return b, len(b) },
		"no fields":              func(b []byte) ([]byte, int) { u32(b, 7); return b, len(b) },
		"half of the fields":     func(b []byte) ([]byte, int) { u32(b, 9); return b, len(b) },
		"error without a number": func(b []byte) ([]byte, int) { b[4] = rlerror; u32(b, 7); return b, len(b) },
		"error 0":                func([]byte) ([]byte, int) { b := message(rlerror, 0, uint32(0)); return b, len(b) },
		"error beyond all":       func([]byte) ([]byte, int) { b := message(rlerror, 0, uint32(1<<31)); return b, len(b) },
	} {
		for _, kind := range []byte{tstatfs, tgetattr, twalk, tlopen, treaddir, tread, twrite} {
			var lines atomic.Int32
			var spoiled atomic.Bool
			fs, err := p9fs.Mount(p9fs.Config{
				Log: func(s string) { lines.Add(1) },
				Transport: script(func(req []byte) ([]byte, int, error) {
					b := polite(req)
					if req[4] != kind {
						return whole(b)
					}
					spoiled.Store(true)
					b, n := spoil(b)
					if tag := tagOf(req); name != "another tag" {
						binary.LittleEndian.PutUint16(b[5:], tag)
					}
					return b, n, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			errnos := use(fs)
			if !spoiled.Load() || !slices.Contains(errnos, syscall.EIO) || lines.Load() != 1 {
				t.Errorf("%s in message %d: errors %v, %d lines, reached %v; want EIO and one line", name, kind+1, errnos, lines.Load(), spoiled.Load())
			}
			if e := fs.Root().Stat(new(syscall.Stat_t)); e != syscall.EIO {
				t.Errorf("%s in message %d: later %v; want EIO", name, kind+1, e)
			}
		}
	}
}

// Wrong lengths inside of an answer.
func TestLyingLengths(t *testing.T) {
	entry := func(name string) []byte { return message(0, 0, qidFile, uint64(1), byte(8), name)[7:] }
	for name, tt := range map[string]struct {
		kind   byte
		answer func(tag uint16) []byte
	}{
		"Rread of more than asked for": {tread, func(tag uint16) []byte { return message(tread+1, tag, uint32(1<<20), make([]byte, 4096)) }},
		"Rread of more than is there":  {tread, func(tag uint16) []byte { return message(tread+1, tag, uint32(10)) }},
		"Rwrite of more than sent":     {twrite, func(tag uint16) []byte { return message(twrite+1, tag, uint32(1<<20)) }},
		"Rwalk of two":                 {twalk, func(tag uint16) []byte { return message(twalk+1, tag, uint16(2), qidFile, qidFile) }},
		"Rreaddir that is cut":         {treaddir, func(tag uint16) []byte { return message(treaddir+1, tag, uint32(10), make([]byte, 10)) }},
		"an empty name":                {treaddir, func(tag uint16) []byte { return message(treaddir+1, tag, uint32(len(entry(""))), entry("")) }},
		"a name with a slash":          {treaddir, func(tag uint16) []byte { return message(treaddir+1, tag, uint32(len(entry("../x"))), entry("../x")) }},
		"a negative size": {tgetattr, func(tag uint16) []byte {
			return message(tgetattr+1, tag, uint64(0), qidFile, make([]byte, 12), uint64(1), uint64(0), uint64(1<<63), make([]byte, 96))
		}},
	} {
		fs, err := p9fs.Mount(p9fs.Config{Transport: script(func(req []byte) ([]byte, int, error) {
			if req[4] == tt.kind {
				return whole(tt.answer(tagOf(req)))
			}
			return whole(polite(req))
		})})
		if err != nil {
			t.Fatal(err)
		}
		if errnos := use(fs); !slices.Contains(errnos, syscall.EIO) {
			t.Errorf("%s: errors %v; want EIO", name, errnos)
		}
	}
}

// Whatever the server answers, nothing panics and no length is impossible.
func FuzzServer(f *testing.F) {
	for kind := range byte(130) {
		req := message(kind, 0, make([]byte, 20))
		f.Add(kind, polite(req)[7:])
	}
	f.Add(byte(24), []byte{})
	f.Fuzz(func(t *testing.T, kind byte, fields []byte) {
		asked := 0
		fs, err := p9fs.Mount(p9fs.Config{Transport: script(func(req []byte) ([]byte, int, error) {
			if asked++; asked > 500 { // a directory without an end, for example
				return nil, 0, syscall.EIO
			}
			if req[4] == kind {
				b := message(kind+1, tagOf(req), fields)
				return b[:min(len(b), 30<<10)], min(len(b), 30<<10), nil
			}
			return whole(polite(req))
		})})
		if err == nil {
			use(fs)
		}
	})
}
