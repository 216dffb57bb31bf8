package kernel

import (
	"syscall"
	"time"
	"unsafe"
)

// lockFile is an open file with shorter words for its locks.
type lockFile struct {
	*system
	fd int
}

func (s lockFile) lock(what string, cmd int, kind int16, start, n int64) {
	s.lockFrom(what, cmd, &syscall.Flock_t{Type: kind, Start: start, Len: n})
}

func (s lockFile) lockFrom(what string, cmd int, l *syscall.Flock_t) {
	s.try(what, syscall.SYS_FCNTL, s.fd, cmd, unsafe.Pointer(l))
	if cmd == syscall.F_GETLK || cmd == fOFDGetLk {
		s.note("  type %d whence %d start %d len %d mine %v pid %v", l.Type, l.Whence, l.Start, l.Len, l.Pid > 0, min(l.Pid, 0))
	}
}

func lockScript(name string, run func(s *system, open func(flags int) lockFile)) script {
	return script{name, func(s *system) {
		run(s, func(flags int) lockFile { return lockFile{s, s.open(s.p("locked"), flags|syscall.O_CREAT)} })
	}}
}

const (
	rdLock, wrLock, unLock = syscall.F_RDLCK, syscall.F_WRLCK, syscall.F_UNLCK
	maxOffset              = 1<<63 - 1
)

var lockScripts = []script{
	lockScript("locks of a process and of descriptions", func(s *system, open func(int) lockFile) {
		a, b := open(syscall.O_RDWR), open(syscall.O_RDWR)
		a.lock("description", fOFDSetLk, wrLock, 0, 10)
		b.lock("process sees it", syscall.F_GETLK, wrLock, 0, 0)
		b.lock("process", syscall.F_SETLK, wrLock, 5, 5)
		b.lock("process elsewhere", syscall.F_SETLK, wrLock, 100, 5)
		a.lock("process again", syscall.F_SETLK, wrLock, 100, 5)
		a.lock("description of it", fOFDSetLk, rdLock, 104, 5)
		a.lock("description sees it", fOFDGetLk, rdLock, 0, 0)
		b.lock("process shares", syscall.F_SETLK, rdLock, 100, 5)
		a.lock("description of the shared", fOFDSetLk, rdLock, 104, 5)
		b.lock("no longer", syscall.F_SETLK, wrLock, 100, 5)
		b.lock("own of the description", fOFDGetLk, unLock, 0, 0)
		a.lock("own of the description", fOFDGetLk, unLock, 0, 0)
		a.lock("own of the process", syscall.F_GETLK, unLock, 0, 0)
	}),
	lockScript("a close ends the process's locks", func(s *system, open func(int) lockFile) {
		a, b := open(syscall.O_RDWR), open(syscall.O_RDWR)
		a.lock("process", syscall.F_SETLK, wrLock, 0, 0)
		b.lock("description", fOFDSetLk, wrLock, 0, 1)
		s.close(open(syscall.O_RDONLY).fd)
		b.lock("after a close", fOFDSetLk, wrLock, 0, 1)
		b.lock("unlock", fOFDSetLk, unLock, 0, 0)
		a.lock("process", syscall.F_SETLK, wrLock, 0, 0)
		path := s.open(s.p("locked"), oPath)
		s.close(path)
		b.lock("after the close of a path", fOFDSetLk, wrLock, 0, 1)
		s.must(syscall.SYS_DUP2, s.open(s.dir, 0), open(syscall.O_RDONLY).fd)
		b.lock("after dup2", fOFDSetLk, wrLock, 0, 1)
	}),
	lockScript("locks that touch are joined", func(s *system, open func(int) lockFile) {
		a, b := open(syscall.O_RDWR), open(syscall.O_RDWR)
		for _, start := range []int64{10, 30, 20} {
			a.lock("ten", fOFDSetLk, wrLock, start, 10)
		}
		b.lock("one", fOFDGetLk, rdLock, 0, 0)
		a.lock("middle shared", fOFDSetLk, rdLock, 20, 10)
		b.lock("first", fOFDGetLk, wrLock, 0, 0)
		b.lock("middle", fOFDGetLk, wrLock, 20, 5)
		a.lock("to the end", fOFDSetLk, rdLock, 30, 0)
		b.lock("joined", fOFDGetLk, wrLock, 25, 0)
		a.lock("unlock", fOFDSetLk, unLock, 15, 10)
		b.lock("before", fOFDGetLk, wrLock, 0, 0)
		b.lock("after", fOFDGetLk, wrLock, 15, 0)
	}),
	lockScript("ranges", func(s *system, open func(int) lockFile) {
		a, b := open(syscall.O_RDWR), open(syscall.O_RDWR)
		for _, r := range [][2]int64{{300, -10}, {5, -10}, {-1, 1}, {maxOffset, 1}, {maxOffset, 2}, {maxOffset - 1, 1}, {0, maxOffset}, {0, -1}, {1, -1}} {
			a.lock("set", fOFDSetLk, wrLock, r[0], r[1])
			b.lock("seen", fOFDGetLk, wrLock, 0, 0)
			a.lock("unlock", fOFDSetLk, unLock, 0, 0)
		}
		s.write(a.fd, "0123456789")
		a.lockFrom("from the position", fOFDSetLk, &syscall.Flock_t{Type: wrLock, Whence: SeekCur, Start: -5, Len: 2})
		a.lockFrom("from the end", fOFDSetLk, &syscall.Flock_t{Type: wrLock, Whence: SeekEnd, Start: 5, Len: 2})
		b.lock("seen", fOFDGetLk, wrLock, 0, 10)
		b.lock("seen", fOFDGetLk, wrLock, 10, 0)
		a.lockFrom("too far", fOFDSetLk, &syscall.Flock_t{Type: wrLock, Whence: SeekCur, Start: maxOffset, Len: 2})
		a.lockFrom("whence", fOFDSetLk, &syscall.Flock_t{Type: wrLock, Whence: 9})
	}),
	lockScript("errors of lock commands in their order", func(s *system, open func(int) lockFile) {
		ro, wo := open(syscall.O_RDONLY), open(syscall.O_WRONLY)
		ro.lock("write", syscall.F_SETLK, wrLock, 0, 1)
		wo.lock("read", syscall.F_SETLK, rdLock, 0, 1)
		wo.lock("get", syscall.F_GETLK, rdLock, 0, 1)
		ro.lockFrom("pid", fOFDSetLk, &syscall.Flock_t{Type: rdLock, Pid: 5})
		ro.lockFrom("pid and mode", fOFDSetLk, &syscall.Flock_t{Type: wrLock, Pid: 5})
		ro.lockFrom("pid of the process", syscall.F_SETLK, &syscall.Flock_t{Type: rdLock, Pid: 5})
		ro.lock("kind", fOFDGetLk, 9, 0, 1)
		ro.lock("kind", syscall.F_SETLK, 9, 0, 1)
		s.try("flock op first", syscall.SYS_FLOCK, 9999, 77)
		s.try("flock fd", syscall.SYS_FLOCK, 9999, syscall.LOCK_EX)
		s.try("flock mandatory", syscall.SYS_FLOCK, 9999, 32)
	}),
	lockScript("flock changes kind", func(s *system, open func(int) lockFile) {
		a, b, c := open(syscall.O_RDWR), open(syscall.O_RDWR), open(syscall.O_RDWR)
		flock := func(what string, f lockFile, op int) { s.try(what, syscall.SYS_FLOCK, f.fd, op|syscall.LOCK_NB) }
		flock("a shared", a, syscall.LOCK_SH)
		flock("b shared", b, syscall.LOCK_SH)
		flock("a exclusive", a, syscall.LOCK_EX)
		flock("b exclusive: a has lost its own", b, syscall.LOCK_EX)
		flock("b again", b, syscall.LOCK_EX)
		flock("c", c, syscall.LOCK_SH)
		flock("b shared", b, syscall.LOCK_SH)
		flock("c", c, syscall.LOCK_SH)
		flock("unlock", a, syscall.LOCK_UN)
	}),
	lockScript("a process waits for a description", func(s *system, open func(int) lockFile) {
		a, b := open(syscall.O_RDWR), open(syscall.O_RDWR)
		a.lock("description", fOFDSetLk, wrLock, 0, 0)
		done := make(chan syscall.Errno)
		go func() {
			_, e := s.call(syscall.SYS_FCNTL, b.fd, syscall.F_SETLKW, unsafe.Pointer(&syscall.Flock_t{Type: wrLock}))
			done <- e
		}()
		select {
		case <-done:
			s.note("it did not wait")
		case <-time.After(50 * time.Millisecond):
		}
		s.close(a.fd)
		s.note("%d", int(<-done))
	}),
}
