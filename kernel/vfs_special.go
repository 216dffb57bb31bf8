package kernel

import (
	"sync"
	"syscall"
)

// Special is what FIFOs, sockets and device nodes have beside their attributes,
// on any file system; an Inode of such a type embeds it. The zero value is ready.
type Special struct {
	mu    sync.Mutex
	fifo  *pipe // of a FIFO, made at its first open
	owner any   // of a socket: what the unix socket layer bound here
}

// OpenSpecial opens the FIFO or device that inode is; a socket is ENXIO (open(2)).
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
