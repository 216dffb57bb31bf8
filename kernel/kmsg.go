package kernel

import (
	"strconv"
	"sync"
	"syscall"
)

// This file is /dev/kmsg (Linux's ABI/testing/dev-kmsg): the lines that the kernel has logged, and a
// way to add some.

// kmsgLines is how many lines are kept.
const kmsgLines = 128

type kmsgLog struct {
	queue WaitQueue
	mu    sync.Mutex
	lines []kmsgLine // the last ones
	next  uint64     // the sequence number of the next line
}

type kmsgLine struct {
	at   int64 // ns since boot
	text string
}

// add keeps a line.
func (l *kmsgLog) add(at int64, text string) {
	l.mu.Lock()
	if len(l.lines) == kmsgLines {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, kmsgLine{at, text})
	l.next++
	l.mu.Unlock()
	l.queue.Notify(EventIn)
}

// kmsgFile is an open /dev/kmsg.
type kmsgFile struct {
	k    *Kernel
	node Inode
	mu   sync.Mutex
	seq  uint64 // of the next line to read
}

func (f *kmsgFile) Queue() *WaitQueue { return &f.k.kmsg.queue }
func (f *kmsgFile) Release()          {}

func (f *kmsgFile) Stat(st *syscall.Stat_t) syscall.Errno { return f.node.Stat(st) }

func (f *kmsgFile) Readiness() Events {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.k.kmsg
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.seq < l.next {
		return EventIn
	}
	return 0
}

// Read returns one line. EPIPE: lines were lost. EINVAL: the buffer is too small.
func (f *kmsgFile) Read(p []byte, _ int64) (int, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.k.kmsg
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.next - uint64(len(l.lines))
	switch {
	case f.seq == l.next:
		return 0, syscall.EAGAIN
	case f.seq < first:
		f.seq = first
		return 0, syscall.EPIPE
	}
	line := l.lines[f.seq-first]
	const info = "6," // LOG_INFO of the kernel
	text := info + utoa(f.seq) + "," + strconv.FormatInt(line.at/1000, 10) + ",-;" + line.text + "\n"
	if len(text) > len(p) {
		return 0, syscall.EINVAL
	}
	f.seq++
	return copy(p, text), 0
}

// Write logs a line of the program. A priority in angle brackets is left out.
func (f *kmsgFile) Write(p []byte, _ int64) (int, syscall.Errno) {
	const longest = 1024 // LOG_LINE_MAX, about
	if len(p) > longest {
		return 0, syscall.EINVAL
	}
	text := string(p)
	if len(text) > 2 && text[0] == '<' {
		for i := 1; i < min(len(text), 6); i++ {
			if text[i] == '>' {
				text = text[i+1:]
				break
			}
		}
	}
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	f.k.Log(text)
	return len(p), 0
}

// seek is lseek(2) with offset 0: to the first line or behind the last one.
func (f *kmsgFile) seek(whence int) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.k.kmsg
	l.mu.Lock()
	defer l.mu.Unlock()
	switch whence {
	case SeekSet, SeekData:
		f.seq = l.next - uint64(len(l.lines))
	case SeekEnd:
		f.seq = l.next
	default:
		return syscall.EINVAL
	}
	return 0
}
