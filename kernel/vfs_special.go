package kernel

import (
	"sync"
	"syscall"
)

// Special is the state of FIFOs, sockets and device nodes besides their attributes, on any
// file system; an Inode of such a type embeds it. The zero value is ready to use.
type Special struct {
	mu    sync.Mutex
	fifo  *pipe // of a FIFO, made at its first open
	owner any   // of a socket: its owner in the unix socket layer
}

// OpenSpecial opens the FIFO or device of an inode; a socket is ENXIO (open(2)).
func (s *Special) OpenSpecial(k *Kernel, inode Inode, kind uint32, rdev uint64, flags int) (File, syscall.Errno) {
	switch kind {
	case syscall.S_IFIFO:
		s.mu.Lock()
		if s.fifo == nil {
			s.fifo = newPipe()
		}
		p := s.fifo
		s.mu.Unlock()
		return p.open(flags, inode), 0
	case syscall.S_IFCHR, syscall.S_IFBLK:
		return k.openDevice(inode, flags, rdev)
	}
	return nil, syscall.ENXIO
}

func (s *Special) special() *Special { return s }

// specialInode is an Inode that embeds Special.
type specialInode interface {
	Inode
	special() *Special
}
