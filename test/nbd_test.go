package test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// nbd is a disk in memory that answers when and how a test likes: the old form of
// the NBD protocol (nbd/doc/proto.md), which QEMU speaks as a client.
type nbd struct {
	addr string
	mu   sync.Mutex // of data
	data []byte
	// answer returns the error number for a request; it may block. The zero
	// value is success.
	answer func(write bool, off uint64, n uint32) uint32
}

func serveNBD(t *testing.T, data []byte, answer func(write bool, off uint64, n uint32) uint32) *nbd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &nbd{addr: l.Addr().String(), data: data, answer: answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c)
		}
	}()
	return d
}

func (d *nbd) serve(c net.Conn) {
	defer c.Close()
	be := binary.BigEndian
	hello := be.AppendUint64([]byte("NBDMAGIC"), 0x00420281861253)
	const hasFlags, sendFlush = 1, 4
	hello = be.AppendUint32(be.AppendUint64(hello, uint64(len(d.data))), hasFlags|sendFlush)
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
		var written []byte
		if kind == write {
			written = make([]byte, n)
			if _, err := io.ReadFull(c, written); err != nil {
				return
			}
		}
		go func() {
			reply := be.AppendUint32(nil, 0x67446698)
			code := d.answer(kind == write, off, n)
			reply = append(be.AppendUint32(reply, code), head[8:16]...)
			if kind < disconnect && code == 0 {
				d.mu.Lock()
				part := d.data[off:][:n]
				copy(part, written)
				if kind == read {
					reply = append(reply, part...)
				}
				d.mu.Unlock()
			}
			mu.Lock()
			c.Write(reply)
			mu.Unlock()
		}()
	}
}
