package kernel

import (
	"fmt"
	"syscall"
	"testing"
)

// However many names are used, dentries that are not in use are evicted, and those of open files
// and working directories are not.
func TestNamesAreForgotten(t *testing.T) {
	m := newFake()
	m.memory = 32 << 20
	s := newSystemWith(t, m, Options{})
	s.must(syscall.SYS_MKDIR, "/tmp/many", 0o755)
	open := s.must(syscall.SYS_OPEN, "/tmp/many/open", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	s.must(syscall.SYS_MKDIR, "/tmp/many/here", 0o755)
	s.must(syscall.SYS_CHDIR, "/tmp/many/here")
	for i := range 4000 {
		fd := s.must(syscall.SYS_OPEN, fmt.Sprintf("/tmp/many/%d", i), syscall.O_CREAT|syscall.O_RDWR, 0o600)
		s.must(syscall.SYS_CLOSE, fd)
	}
	v := &s.k.vfs
	if n := len(v.cached); n > v.most+1 || n < v.most/2 {
		t.Errorf("%d names are cached; the most should be %d", n, v.most)
	}
	for _, i := range []int{0, 2000, 3999} {
		fd := s.must(syscall.SYS_OPEN, fmt.Sprintf("/tmp/many/%d", i), syscall.O_RDONLY, 0)
		s.must(syscall.SYS_CLOSE, fd)
	}
	before := len(v.cached)
	for i := range 100 {
		s.must(syscall.SYS_CLOSE, s.must(syscall.SYS_OPEN, "/tmp/many/short", syscall.O_CREAT|syscall.O_RDWR, 0o600))
		if i%2 == 0 {
			s.must(syscall.SYS_UNLINK, "/tmp/many/short")
		} else {
			s.must(syscall.SYS_RENAME, "/tmp/many/short", "/tmp/many/over")
		}
	}
	if n := len(v.cached); n > before+2 {
		t.Errorf("%d names are cached; %d before 100 were removed", n, before)
	}
	s.must(syscall.SYS_RENAME, "/tmp/many/open", "/tmp/many/renamed")
	d, _ := s.k.fds.get(open)
	defer d.DecRef()
	if got := s.k.vfs.path(d.where); got != "/tmp/many/renamed" {
		t.Errorf("an open file that was renamed is called %q", got)
	}
	if got := s.k.vfs.path(s.k.cwd()); got != "/tmp/many/here" {
		t.Errorf("the working directory is called %q", got)
	}
}
