package kernel

import (
	"sync/atomic"
	"syscall"
)

// This file says what poll(2) sees of generated files. Most are always ready, but epoll(7) takes all
// that do not belong to a process, unlike regular files. Some say when they change, with POLLPRI and
// POLLERR.

// changeCount counts the changes of what a generated file shows.
type changeCount struct {
	queue WaitQueue
	n     atomic.Uint64
}

func (c *changeCount) happened() {
	c.n.Add(1)
	c.queue.Notify(EventIn | EventPri | EventErr)
}

// genReadiness says how a generated file is polled.
type genReadiness uint8

const (
	pollAlways  genReadiness = iota // ready to read and write
	pollMounts                      // /proc/self/mounts and mountinfo: ready to read (proc(5))
	pollSetting                     // a setting of /proc/sys that says when it changes
	pollSysfs                       // an attribute of /sys: changed until it has been read
)

// watch makes the file at a path say when c happens.
func (fs *genFS) watch(path string, kind genReadiness, c *changeCount) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, name := fs.split(path)
	f := dir.names[name].(*genFile)
	f.ready, f.changes = kind, c
}

// genOpen is an open generated file.
type genOpen struct {
	bytesFile
	file *genFile
	seen atomic.Uint64 // the changes that Readiness has reported
}

func (o *genOpen) Read(p []byte, off int64) (int, syscall.Errno) {
	if o.file.ready == pollSysfs {
		o.seen.Store(1)
	}
	return o.bytesFile.Read(p, off)
}

// Queue is nil if epoll(7) does not accept the file.
func (o *genOpen) Queue() *WaitQueue {
	if o.file.changes == nil {
		return nil
	}
	return &o.file.changes.queue
}

// Readiness reports a change once.
func (o *genOpen) Readiness() Events {
	const changed = EventPri | EventErr
	switch o.file.ready {
	case pollSysfs:
		if o.seen.Load() == 0 {
			return EventIn | EventOut | changed
		}
	case pollMounts, pollSetting:
		n := o.file.changes.n.Load()
		switch {
		case o.seen.Swap(n) != n:
			return EventIn | changed
		case o.file.ready == pollMounts:
			return EventIn
		}
	}
	return EventIn | EventOut
}
