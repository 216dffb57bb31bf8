package vmdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Folder is the folder of a VM that this process holds.
type Folder struct {
	Path string
	Description
	lock *os.File
}

// ErrTaken says that a name is in use.
var ErrTaken = errors.New("the name is in use")

// Create makes a VM's folder and takes its lock. The name is d.Name, or if that is "" the one of the
// program with a number that makes it unique. The error is ErrTaken if another VM has the name.
func Create(d Description, s State) (*Folder, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(root, ".new-")
	if err != nil {
		return nil, err
	}
	f, err := fill(root, tmp, d, s)
	if err != nil {
		os.RemoveAll(tmp)
	}
	return f, err
}

// fill writes the files and gives the folder its name.
func fill(root, tmp string, d Description, s State) (*Folder, error) {
	l, err := os.OpenFile(filepath.Join(tmp, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = lock(l)
	if err == nil {
		err = writeJSON(filepath.Join(tmp, stateFile), s)
	}
	for n := 1; err == nil; n++ {
		named := d
		if d.Name == "" {
			named.Name = numbered(nameOf(d.Program), n)
		}
		if err = writeJSON(filepath.Join(tmp, descriptionFile), named); err != nil {
			break
		}
		path := filepath.Join(root, named.Name)
		err = rename(tmp, path)
		switch {
		case err == nil:
			return &Folder{Path: path, Description: named, lock: l}, nil
		case !errors.Is(err, ErrTaken):
		case d.Name != "":
			err = taken(path, d.Name)
		default:
			err = nil
		}
	}
	l.Close()
	return nil, err
}

// rename gives a folder a name that no other has. (A folder with files is never replaced, rename(2).)
func rename(old, path string) error {
	err := os.Rename(old, path)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return ErrTaken
	}
	return err
}

// takenError is an ErrTaken that says who has the name, and what frees it.
type takenError struct{ text string }

func (e *takenError) Error() string        { return e.text }
func (e *takenError) Is(target error) bool { return target == ErrTaken }

func taken(path, name string) error {
	vm, err := read(path)
	text := fmt.Sprintf("a VM %s has ended and is kept: remove it with yolk rm %s, start it again with yolk restart %s, or choose another name with -name", name, name, name)
	if err != nil || vm.Alive() {
		text = fmt.Sprintf("a VM %s runs already: choose another name with -name, or end it with yolk stop %s", name, name)
	}
	return &takenError{text}
}

// Reopen takes the lock of a VM whose process has ended. The error is ErrTaken if that lives.
func Reopen(name string) (*Folder, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if !ValidName(name) {
		return nil, noVM(name)
	}
	path := filepath.Join(root, name)
	l, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noVM(name)
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, lock: l}
	if err := lock(l); err != nil {
		l.Close()
		if errors.Is(err, errLocked) {
			err = taken(path, name)
		}
		return nil, err
	}
	// It may have been removed, and made again, before it was locked.
	if err := f.isAt(path); err != nil {
		l.Close()
		return nil, noVM(name)
	}
	if err := readJSON(filepath.Join(path, descriptionFile), &f.Description); err != nil {
		l.Close()
		return nil, err
	}
	return f, nil
}

// isAt returns an error if the locked file is not the one of the folder at path.
func (f *Folder) isAt(path string) error {
	ours, err := f.lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(filepath.Join(path, lockFile))
	if err == nil && !os.SameFile(ours, there) {
		err = fs.ErrNotExist
	}
	return err
}

// SetState replaces the state.
func (f *Folder) SetState(s State) error { return writeJSON(filepath.Join(f.Path, stateFile), s) }

// State reads the state.
func (f *Folder) State() (s State, err error) {
	return s, readJSON(filepath.Join(f.Path, stateFile), &s)
}

// Describe replaces the description, but for the name.
func (f *Folder) Describe(d Description) error {
	d.Name = f.Name
	f.Description = d
	return writeJSON(filepath.Join(f.Path, descriptionFile), d)
}

// CrashFile makes the file for the message of a crash of this process.
func (f *Folder) CrashFile() (*os.File, error) {
	return os.OpenFile(filepath.Join(f.Path, crashFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Release gives up the lock. The folder stays.
func (f *Folder) Release() { f.lock.Close() }

// Remove removes the folder and gives up the lock.
func (f *Folder) Remove() error {
	defer f.lock.Close()
	gone := filepath.Join(filepath.Dir(f.Path), fmt.Sprintf(".rm-%d-%s", os.Getpid(), f.Name))
	if err := os.Rename(f.Path, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}
