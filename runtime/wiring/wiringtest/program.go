//go:build !yolk

package wiringtest

import (
	"bytes"
	"syscall"
	"unsafe"
)

// Call makes a system call of the program. Arguments are numbers, strings, and byte
// slices or pointers, which must not lie on the stack.
func (m *Machine) Call(nr uintptr, args ...any) (int, syscall.Errno) {
	var n [6]uintptr
	var p [6]unsafe.Pointer
	for i, a := range args {
		switch a := a.(type) {
		case int:
			n[i] = uintptr(a)
		case unsafe.Pointer:
			p[i] = a
		case string:
			p[i] = unsafe.Pointer(unsafe.SliceData(append([]byte(a), 0)))
		case []byte:
			p[i] = unsafe.Pointer(unsafe.SliceData(a))
		default:
			m.t.Fatalf("an argument of type %T", a)
		}
		if p[i] != nil {
			n[i] = uintptr(p[i])
		}
	}
	r, e := m.Syscall(nr, n, p)
	return int(r), e
}

// Must is Call for what has to work.
func (m *Machine) Must(nr uintptr, args ...any) int {
	m.t.Helper()
	r, e := m.Call(nr, args...)
	if e != 0 {
		m.t.Fatalf("system call %d%v: %v", nr, args, e)
	}
	return r
}

// atFdCwd is AT_FDCWD of openat(2).
const atFdCwd = -100

// Open opens a file.
func (m *Machine) Open(path string, flags int) (fd int, e syscall.Errno) {
	return m.Call(syscall.SYS_OPENAT, atFdCwd, path, flags, 0o644)
}

// ReadFile is os.ReadFile.
func (m *Machine) ReadFile(path string) (string, syscall.Errno) {
	fd, e := m.Open(path, syscall.O_RDONLY)
	if e != 0 {
		return "", e
	}
	defer m.Must(syscall.SYS_CLOSE, fd)
	var all []byte
	b := make([]byte, 64<<10)
	for {
		n, e := m.Call(syscall.SYS_READ, fd, b, len(b))
		if e != 0 || n == 0 {
			return string(all), e
		}
		all = append(all, b[:n]...)
	}
}

// WantFile checks what a file holds.
func (m *Machine) WantFile(path, want string) {
	m.t.Helper()
	if got, e := m.ReadFile(path); e != 0 || got != want {
		m.t.Errorf("%s holds %q, %v; want %q", path, got, e, want)
	}
}

// WriteFile is os.WriteFile.
func (m *Machine) WriteFile(path, data string) syscall.Errno {
	fd, e := m.Open(path, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC)
	if e != 0 {
		return e
	}
	defer m.Must(syscall.SYS_CLOSE, fd)
	_, e = m.Call(syscall.SYS_WRITE, fd, []byte(data), len(data))
	return e
}

// Cwd returns the working directory.
func (m *Machine) Cwd() string {
	m.t.Helper()
	b := make([]byte, 4096)
	n := m.Must(syscall.SYS_GETCWD, b, len(b))
	return string(bytes.TrimRight(b[:n], "\x00"))
}

// Hostname returns the name of the machine.
func (m *Machine) Hostname() string {
	m.t.Helper()
	u := new(syscall.Utsname)
	m.Must(syscall.SYS_UNAME, unsafe.Pointer(u))
	var name []byte
	for _, c := range u.Nodename {
		if c == 0 {
			break
		}
		name = append(name, byte(c))
	}
	return string(name)
}
