// Package nbd serves a block.Device as a disk over the network block device protocol, for which QEMU is
// a client: so a guest can have a test's disk in memory that records, fails or hangs. The protocol is
// described in nbd's doc/proto.md; this is its old form, which has no options.
package nbd

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// These are the requests, and the flags that offer the last three.
const (
	read        = 0
	write       = 1
	disconnect  = 2
	flush       = 3
	trim        = 4
	writeZeroes = 6

	hasFlags        = 1 << 0
	sendFlush       = 1 << 2
	sendTrim        = 1 << 5
	sendWriteZeroes = 1 << 6
)

// maxRequest is the size limit of a request, in bytes; QEMU's requests are smaller.
const maxRequest = 64 << 20

// Serve offers a disk until the test ends and returns the address, for QEMU's file=nbd:ADDRESS.
// Requests run concurrently, as on a real disk.
func Serve(t testing.TB, dev block.Device) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c, dev)
		}
	}()
	return l.Addr().String()
}

func serve(c net.Conn, dev block.Device) {
	defer c.Close()
	be := binary.BigEndian
	hello := be.AppendUint64([]byte("NBDMAGIC"), 0x00420281861253)
	hello = be.AppendUint64(hello, uint64(dev.Size()))
	hello = be.AppendUint32(hello, hasFlags|sendFlush|sendTrim|sendWriteZeroes)
	c.Write(append(hello, make([]byte, 124)...))
	var mu sync.Mutex // guards answers
	for {
		var head [28]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		kind, off, n := be.Uint16(head[6:]), int64(be.Uint64(head[16:])), int64(be.Uint32(head[24:]))
		if kind == disconnect || n > maxRequest && kind <= write {
			return
		}
		var data []byte
		if kind <= write {
			data = make([]byte, n)
		}
		if kind == write {
			if _, err := io.ReadFull(c, data); err != nil {
				return
			}
		}
		go func() {
			errno := do(dev, kind, data, off, n)
			reply := be.AppendUint32(be.AppendUint32(nil, 0x67446698), uint32(errno))
			reply = append(reply, head[8:16]...)
			if kind == read && errno == 0 {
				reply = append(reply, data...)
			}
			mu.Lock()
			c.Write(reply)
			mu.Unlock()
		}()
	}
}

func do(dev block.Device, kind uint16, data []byte, off, n int64) syscall.Errno {
	switch kind {
	case read:
		return dev.ReadAt([][]byte{data}, off)
	case write:
		return dev.WriteAt([][]byte{data}, off)
	case flush:
		return dev.Flush()
	case trim:
		return dev.Discard(off, n)
	case writeZeroes:
		return dev.WriteZeroes(off, n)
	}
	return syscall.EINVAL
}
