package test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// nbd is a disk of zeroes that answers when and how a test likes: the old form of
// the NBD protocol (nbd/doc/proto.md), which QEMU speaks as a client.
type nbd struct {
	addr string
	// answer returns the error number for a request; it may block. The zero
	// value is success.
	answer func(write bool, off uint64, n uint32) uint32
}

func serveNBD(t *testing.T, size uint64, answer func(write bool, off uint64, n uint32) uint32) *nbd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &nbd{l.Addr().String(), answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c, size)
		}
	}()
	return d
}

func (d *nbd) serve(c net.Conn, size uint64) {
	defer c.Close()
	be := binary.BigEndian
	hello := be.AppendUint64([]byte("NBDMAGIC"), 0x00420281861253)
	const hasFlags, sendFlush = 1, 4
	hello = be.AppendUint32(be.AppendUint64(hello, size), hasFlags|sendFlush)
	c.Write(append(hello, make([]byte, 124)...))
	var mu sync.Mutex // of answers
	for {
		var head [28]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		kind, off, n := be.Uint16(head[6:]), be.Uint64(head[16:]), be.Uint32(head[24:])
		const read, write, disconnect = 0, 1, 2
		if kind == disconnect {
			return
		}
		if kind == write {
			io.CopyN(io.Discard, c, int64(n))
		}
		go func() {
			reply := be.AppendUint32(nil, 0x67446698)
			code := d.answer(kind == write, off, n)
			reply = append(be.AppendUint32(reply, code), head[8:16]...)
			if kind == read && code == 0 {
				reply = append(reply, make([]byte, n)...)
			}
			mu.Lock()
			c.Write(reply)
			mu.Unlock()
		}()
	}
}
