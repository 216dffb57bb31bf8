// Package p9fs is a file system of another machine's files: a client of the protocol
// 9P2000.L, which brings folders of the host into a guest. The protocol is described in
// QEMU's and diod's documents (github.com/chaos/diod, protocol.md) and intro(5) of Plan 9;
// numbers are Linux's, whatever the server runs on.
//
// The host changes its files without notice, so nothing is cached: each lookup, read and
// write goes to the server. Both sides see each other's writes at once. Only files that are mapped have
// pages in memory (mapped.go).
//
// Start reading at Mount, then node.go (names), file.go (data) and client.go
// (requests and answers).
package p9fs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// Transport carries requests to a server.
type Transport interface {
	// Exchange sends the concatenation of out, puts the answer into the slices of in, one
	// after the other, and returns its length. It blocks. Several goroutines may call it;
	// answers come in any order.
	Exchange(out, in [][]byte) (n int, err error)
	// MaxData is the most bytes that a read or write can carry.
	MaxData() int
}

// Config are the parameters of a mount.
type Config struct {
	Transport Transport
	ReadOnly  bool
	Dev       uint64 // st_dev of the files
	// NoDMA reports whether b, which is not empty, is in memory that can move, such as the
	// calling goroutine's stack: a transport cannot use it. If nil, no memory moves.
	NoDMA func(b []byte) bool
	// Log gets one line with the reason if the file system breaks down; may be nil.
	Log func(line string)
}

// Error is the type of this package's errors.
type Error string

func (e Error) Error() string { return string(e) }

// These are errors of Mount, and of a server that breaks the protocol, which ends the mount.
const (
	ErrVersion = Error("the server does not speak 9P2000.L")
	ErrServer  = Error("the server's answer breaks the 9P protocol")
)

// FS is a mounted file system.
type FS struct {
	c        client
	root     node
	readOnly bool
	dev      uint64

	mu   sync.Mutex // guards fid and users of all nodes, and the fields below
	idle []*node    // nodes that may have an unused fid
	next int        // index in idle of the node that loses its fid next

	mappedFiles atomic.Int32 // files that are mapped
	mapMu       sync.Mutex
	maps        map[uint64]*mapped // those, by qid.path
}

var _ kernel.FileSystem = (*FS)(nil)

// Mount connects to a server and attaches to its tree.
func Mount(cfg Config) (*FS, error) {
	fs := &FS{readOnly: cfg.ReadOnly, dev: cfg.Dev}
	if err := fs.c.start(cfg); err != nil {
		return nil, err
	}
	fs.root = node{fs: fs, kind: syscall.S_IFDIR, fid: rootFid, users: 1}
	return fs, nil
}

// Type is the name in /proc/mounts, as on Linux.
func (fs *FS) Type() string { return "9p" }

// Remote says that files come and go on the server without this client: a number may soon be another
// file's.
func (fs *FS) Remote() {}

// Root returns the root directory of the server's tree.
func (fs *FS) Root() kernel.Directory { return &fs.root }

// Volatile is true: the host changes names.
func (fs *FS) Volatile() bool { return true }

// ReadOnly reports whether changes are refused.
func (fs *FS) ReadOnly() bool { return fs.readOnly }

// Sync writes back what mappings have stored; nothing else is dirty.
func (fs *FS) Sync() syscall.Errno { return fs.syncMapped() }

// StatFS is statfs(2): the server's numbers, with Linux's type for 9P.
func (fs *FS) StatFS(st *syscall.Statfs_t) syscall.Errno {
	const (
		magic    = 0x01021997 // V9FS_MAGIC
		readOnly = 0x1        // ST_RDONLY
		valid    = 0x20       // ST_VALID
	)
	r := fs.c.begin(tStatfs)
	defer r.end()
	r.put(4, rootFid)
	if e := r.do(); e != 0 {
		return e
	}
	r.get(4) // the type of the host's file system
	s := syscall.Statfs_t{
		Type: magic, Bsize: int64(r.get(4)), Blocks: r.get(8), Bfree: r.get(8), Bavail: r.get(8),
		Files: r.get(8), Ffree: r.get(8), Flags: valid,
	}
	fsid := r.get(8)
	s.Fsid.X__val = [2]int32{int32(fsid), int32(fsid >> 32)}
	s.Namelen = int64(r.get(4))
	s.Frsize = s.Bsize
	if fs.readOnly {
		s.Flags |= readOnly
	}
	*st = s
	return r.result()
}

// changeable is EROFS on a read-only mount.
func (fs *FS) changeable() syscall.Errno {
	if fs.readOnly {
		return syscall.EROFS
	}
	return 0
}
