package p9fs

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/bounce"
)

// Small functions are not inlined: they have many calls, their time is nothing next to that
// of a request, and the package is in every image that uses files.

// These are messages of 9P2000.L. Each is size[4] type[1] tag[2] and its fields,
// little-endian; an answer has the type of its request plus one.
const (
	rLerror     = 7
	tStatfs     = 8
	tLopen      = 12
	tLcreate    = 14
	tSymlink    = 16
	tMknod      = 18
	tReadlink   = 22
	tGetattr    = 24
	tSetattr    = 26
	tReaddir    = 40
	tFsync      = 50
	tLink       = 70
	tMkdir      = 72
	tRenameat   = 74
	tUnlinkat   = 76
	tVersion    = 100
	tAttach     = 104
	tWalk       = 110
	tRead       = 116
	tWrite      = 118
	tClunk      = 120
	protocol    = "9P2000.L"
	noTag       = 0xffff
	noFid       = 0xffffffff
	rootFid     = 0
	headerSize  = 7  // of every message
	dataHeader  = 24 // of Twrite (23), the longest message that carries data
	readHeader  = 11 // of Rread and Rreaddir; Rlerror is as long
	bufferSize  = 6 << 10
	maxRequests = 64 // requests at once; QEMU serves 128
)

// preferredData is the most data that one message should carry. Measured with QEMU:
// docs/files.md.
const preferredData = 256 << 10

// minMessage is the least message size that a server must accept: an attribute change, a
// symbolic link of 4 KiB and two names fit.
const minMessage = bufferSize

// smallData is the size up to which data is copied through a request's own buffers: that is
// less work than to find out where the caller's pages lie.
const smallData = 4 << 10

// client is one connection.
type client struct {
	t       Transport
	log     func(string)
	maxData int // most bytes of one read or write
	bounces bounce.Pool

	mu      sync.Mutex // protects the fields below
	free    sync.Cond  // signalled when a request is put back
	idle    []*request
	made    int
	fids    []uint32 // numbers below nextFid that are not in use
	nextFid uint32
	broken  bool
}

// start negotiates a version and attaches rootFid to the server's root.
func (c *client) start(cfg Config) error {
	c.t, c.bounces.NoDMA, c.log, c.nextFid = cfg.Transport, cfg.NoDMA, cfg.Log, rootFid+1
	c.free.L = &c.mu
	if err := c.version(min(preferredData, cfg.Transport.MaxData()) + dataHeader); err != nil {
		return err
	}
	r := c.begin(tAttach)
	defer r.end()
	r.put(4, rootFid)
	r.put(4, noFid) // no authentication
	r.str("")       // user's name
	r.str("")       // tree's name
	r.put(4, 0)     // user's number
	if e := r.do(); e != 0 {
		return e
	}
	r.qid()
	if e := r.result(); e != 0 {
		return ErrServer
	}
	return nil
}

// version opens the session with messages of up to size bytes.
func (c *client) version(size int) error {
	if size < minMessage {
		return ErrVersion
	}
	r := c.begin(tVersion)
	defer r.end()
	r.tag = noTag
	r.out[5], r.out[6] = noTag&0xff, noTag>>8
	r.put(4, uint64(size))
	r.str(protocol)
	if e := r.do(); e != 0 {
		return e
	}
	got := int(r.get(4))
	name := r.getStr()
	if r.bad || name != protocol || got < minMessage || got > size {
		return ErrVersion
	}
	c.maxData = got - dataHeader
	return nil
}

// request is one request, and then its answer. Requests are reused: each has a tag of its
// own and memory for a header and small data.
type request struct {
	c      *client
	tag    uint16
	ownTag uint16
	out    []byte // the request
	room   []byte // buffer for the answer without its data
	size   int    // size of the answer
	vec    [4][]byte
	fields // of the answer
}

// begin takes a request; it waits for one if all are in use.
//
//go:noinline
func (c *client) begin(kind byte) *request {
	c.mu.Lock()
	for len(c.idle) == 0 && c.made == maxRequests {
		c.free.Wait()
	}
	var r *request
	if n := len(c.idle); n > 0 {
		r = c.idle[n-1]
		c.idle = c.idle[:n-1]
	} else {
		r = &request{c: c, ownTag: uint16(c.made), out: make([]byte, 0, bufferSize), room: make([]byte, bufferSize)}
		c.made++
	}
	c.mu.Unlock()
	r.tag, r.fields = r.ownTag, fields{}
	r.out = append(r.out[:0], 0, 0, 0, 0, kind, byte(r.tag), byte(r.tag>>8))
	return r
}

// end returns a request to the pool.
//
//go:noinline
func (r *request) end() {
	r.vec = [4][]byte{}
	r.c.mu.Lock()
	r.c.idle = append(r.c.idle, r)
	r.c.free.Signal()
	r.c.mu.Unlock()
}

// put appends a number of n bytes.
//
//go:noinline
func (r *request) put(n int, v uint64) {
	for ; n > 0; n-- {
		r.out = append(r.out, byte(v))
		v >>= 8
	}
}

// str appends a string. The caller bounds its length.
//
//go:noinline
func (r *request) str(s string) {
	s = s[:min(len(s), 1<<16-1)]
	r.put(2, uint64(len(s)))
	r.out = append(r.out, s...)
}

// fields are bytes from the server from which values are taken.
type fields struct {
	in  []byte // remaining bytes
	bad bool   // there were too few bytes
}

// get takes a number of n bytes.
//
//go:noinline
func (r *fields) get(n int) (v uint64) {
	for i, b := range r.bytes(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// bytes takes n bytes, none if there are fewer.
//
//go:noinline
func (r *fields) bytes(n int) []byte {
	if n > len(r.in) {
		r.bad, r.in = true, nil
		return nil
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}

// getStr takes a string.
//
//go:noinline
func (r *fields) getStr() string { return string(r.bytes(int(r.get(2)))) }

// qid takes a qid: the server's identity of a file.
//
//go:noinline
func (r *fields) qid() (q qid) {
	q.kind = byte(r.get(1))
	r.get(4) // version: only the server uses it
	q.path = r.get(8)
	return q
}

type qid struct {
	kind byte
	path uint64
}

// Bits of qid.kind. Other files have none.
const (
	qidDir     = 0x80
	qidSymlink = 0x02
)

// finish is do for a request whose answer has no fields. It ends the request.
//
//go:noinline
func (r *request) finish() syscall.Errno {
	e := r.do()
	r.end()
	return e
}

// result is EIO if the answer lacked fields, which ends the mount.
//
//go:noinline
func (r *request) result() syscall.Errno {
	if r.bad {
		return r.c.fail(ErrServer)
	}
	return 0
}

// do sends the request and prepares the answer for get.
//
//go:noinline
func (r *request) do() syscall.Errno { return r.exchange(nil, nil) }

// exchange is do with data: write follows the request, and the bytes after the answer's
// header go to read.
func (r *request) exchange(write, read []byte) syscall.Errno {
	size := len(r.out) + len(write)
	for i := range 4 {
		r.out[i] = byte(size >> (8 * i))
	}
	out, in := append(r.vec[:0:2], r.out), append(r.vec[2:2:4], r.room)
	if len(write) > 0 {
		out = append(out, write)
	}
	if read != nil {
		in[0] = r.room[:readHeader]
		in = append(in, read)
	}
	if r.c.dead() {
		return syscall.EIO
	}
	n, err := r.c.t.Exchange(out, in)
	if err != nil {
		return r.c.fail(err)
	}
	return r.check(n, len(in[0]))
}

// data takes the length of the data in the answer; it must not be more than most bytes.
func (r *request) data(most int) (int, syscall.Errno) {
	n := int(r.get(4))
	if n > most || n > r.size-readHeader {
		r.bad = true
	}
	if e := r.result(); e != 0 {
		return 0, e
	}
	return n, 0
}

// check checks the header of an answer of n bytes; its first head bytes are in room.
func (r *request) check(n, head int) syscall.Errno {
	r.in = r.room[:min(max(n, 0), head)]
	size, kind, tag := int(r.get(4)), byte(r.get(1)), uint16(r.get(2))
	if r.bad || size < headerSize || size > n || tag != r.tag {
		return r.c.fail(ErrServer)
	}
	r.in, r.size = r.room[headerSize:min(size, head)], size
	switch {
	case kind == rLerror:
		if e := syscall.Errno(r.get(4)); e != 0 && e < 4096 && !r.bad {
			return e
		}
	case kind == r.out[4]+1:
		return 0
	}
	return r.c.fail(ErrServer)
}

func (c *client) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// fail ends the mount: every call from now on is EIO.
func (c *client) fail(err error) syscall.Errno {
	c.mu.Lock()
	first := !c.broken
	c.broken = true
	c.mu.Unlock()
	if first && c.log != nil {
		c.log(err.Error())
	}
	return syscall.EIO
}

// newFid returns a number that is not in use.
//
//go:noinline
func (c *client) newFid() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.fids); n > 0 {
		f := c.fids[n-1]
		c.fids = c.fids[:n-1]
		return f
	}
	c.nextFid++
	return c.nextFid - 1
}

// reuse makes the number of a fid available that the server has forgotten.
//
//go:noinline
func (c *client) reuse(fid uint32) {
	c.mu.Lock()
	c.fids = append(c.fids, fid)
	c.mu.Unlock()
}

// clunk makes the server forget a fid, which it does even if it answers with an error.
//
//go:noinline
func (c *client) clunk(fid uint32) syscall.Errno {
	r := c.begin(tClunk)
	r.put(4, uint64(fid))
	e := r.finish()
	c.reuse(fid)
	return e
}

// walk makes a new fid for name in the directory fid, or, with an empty name, a
// copy of fid.
func (c *client) walk(fid uint32, name string) (uint32, qid, syscall.Errno) {
	r := c.begin(tWalk)
	defer r.end()
	to := c.newFid()
	r.put(4, uint64(fid))
	r.put(4, uint64(to))
	steps := uint64(0)
	if name != "" {
		steps = 1
	}
	r.put(2, steps)
	if name != "" {
		r.str(name)
	}
	var q qid
	e := r.do()
	if e == 0 {
		if n := r.get(2); n != steps {
			r.bad = true
		} else if n > 0 {
			q = r.qid()
		}
		e = r.result()
	}
	if e != 0 {
		c.reuse(to)
		return noFid, q, e
	}
	return to, q, 0
}
