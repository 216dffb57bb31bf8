package vmdir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// The lock is one of an open file (F_OFD_SETLK, fcntl(2)): unlike flock(2)'s it can be asked after
// without being taken, so that readers are in nobody's way.

// wholeFile is a write lock of a file.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK} }

// errLocked says that another process has the lock.
var errLocked = errors.New("locked")

// lock takes the lock of a file, which lasts until the file is closed.
func lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errLocked
	}
	return err
}

// locked reports whether anybody has the lock of a file.
func locked(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // a write lock needs a file open for writing
	if err != nil {
		return false, err
	}
	defer f.Close()
	l := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, l); err != nil {
		return false, err
	}
	return l.Type != unix.F_UNLCK, nil
}
