package qemu

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Running describes a VM to other processes of the same user. It is stored in a file in RunDir,
// which the VM's process keeps locked while it lives; the socket of QEMU's monitor is beside it.
type Running struct {
	PID     int    // of the process that started the VM
	Name    string // of the VM, or the program's
	Image   string // path of the ELF file
	Started time.Time
}

// RunDir returns the folder of the user's running VMs, which it makes. No other user may enter it,
// because access to a monitor is full control of the VM.
func RunDir() (string, error) {
	base, dir := os.Getenv("XDG_RUNTIME_DIR"), "yolk"
	if info, err := os.Stat(base); err != nil || !info.IsDir() || !filepath.IsAbs(base) {
		base, dir = os.TempDir(), fmt.Sprintf("yolk-%d", os.Getuid())
	}
	dir = filepath.Join(base, dir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || int(s.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a folder for this user alone; remove it", dir)
	}
	return dir, nil
}

// maxSocketPath is the longest path of a Unix socket, unix(7).
const maxSocketPath = 107

// Socket returns the path of the monitor's socket.
func (r *Running) Socket() (string, error) {
	dir, err := RunDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, strconv.Itoa(r.PID)+".qmp")
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("%s is too long for a socket; set XDG_RUNTIME_DIR to a shorter path", path)
	}
	return path, nil
}

// Announce adds a VM of this process to the list until withdraw is called. It returns the path for
// Config.Monitor.
func Announce(r Running) (socket string, withdraw func(), err error) {
	r.PID = os.Getpid()
	if socket, err = r.Socket(); err != nil {
		return "", nil, err
	}
	// A file under its final name is always locked.
	f, err := os.CreateTemp(filepath.Dir(socket), "new-*")
	if err != nil {
		return "", nil, err
	}
	path := strings.TrimSuffix(socket, ".qmp") + ".json"
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		err = json.NewEncoder(f).Encode(r)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		f.Close()
		return "", nil, err
	}
	return socket, func() {
		os.Remove(path)
		os.Remove(socket)
		f.Close()
	}, nil
}

// List returns the user's running VMs, oldest first. It removes entries whose process was killed.
func List() ([]Running, error) {
	dir, err := RunDir()
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var list []Running
	for _, path := range paths {
		r, err := readRunning(path)
		if errors.Is(err, fs.ErrNotExist) { // it has just ended
			continue
		}
		if err != nil {
			return nil, err
		}
		if r != nil {
			list = append(list, *r)
		}
	}
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(a.Started.Compare(b.Started), a.PID-b.PID)
	})
	return list, nil
}

// readRunning reads an entry of the list. If the entry is not locked, it removes it and returns nil.
func readRunning(path string) (*Running, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		os.Remove(path)
		os.Remove(strings.TrimSuffix(path, ".json") + ".qmp")
		return nil, nil
	}
	var r Running
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}
