package kernel

import (
	"strconv"
	"syscall"
)

// This file is for questions of the host (package ask): what it reads takes no descriptor, so that the program
// does not see it.

// ReadFile calls each with the content of a file in pieces, until each returns false. It ends where read(2) would
// wait.
func (k *Kernel) ReadFile(path string, each func(p []byte) bool) syscall.Errno {
	d, e := k.openPath(k.tree(), path, syscall.O_RDONLY, 0, 0)
	if e != 0 {
		return e
	}
	defer d.DecRef()
	b := make([]byte, pageSize)
	for off := int64(0); ; {
		n, e := d.file.Read(b, off)
		switch {
		case e == syscall.EPIPE: // /dev/kmsg: lines were lost
			continue
		case e == syscall.EAGAIN || e == 0 && n == 0:
			return 0
		case e != 0:
			return e
		case !each(b[:n]):
			return 0
		}
		off += int64(n)
	}
}

// describeFiles is appendFiles in programs that carry /proc, else nil: see AddProc.
var describeFiles func(k *Kernel, each func(p []byte) bool)

// OpenFiles calls each with a description of every descriptor, until each returns false: its number and what
// /proc/self/fd says of it, quoted as strconv.Quote does; on the following lines what /proc/self/fdinfo says; and an
// empty line. It reports whether the program carries what it takes.
func (k *Kernel) OpenFiles(each func(p []byte) bool) bool {
	if describeFiles == nil {
		return false
	}
	describeFiles(k, each)
	return true
}

func (k *Kernel) appendFiles(each func(p []byte) bool) {
	for _, fd := range k.fds.numbers() {
		d, e := k.fds.get(fd)
		if e != 0 {
			continue // it has just been closed
		}
		b := strconv.AppendQuote(strconv.AppendInt(nil, int64(fd), 10), k.fdName(fd))
		b = append(d.appendInfo(append(b, '\n')), '\n')
		d.DecRef()
		if !each(b) {
			return
		}
	}
}
