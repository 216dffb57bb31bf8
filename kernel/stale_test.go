package kernel

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
)

// A file that was opened with O_PATH and then removed can be opened through its descriptor, with its
// content.
func TestOpenRemovedPath(t *testing.T) {
	s := newSystem(t)
	s.writeFile("/tmp/f", "content")
	fd := s.open("/tmp/f", oPath)
	s.must(syscall.SYS_UNLINK, "/tmp/f")
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	if got := s.readFile(self); got != "content" {
		t.Errorf("read %q", got)
	}
	if _, e := s.call(syscall.SYS_OPEN, self, syscall.O_RDWR|syscall.O_CREAT, 0o600); e != 0 {
		t.Errorf("open with O_CREAT: %v", e)
	}
	if s.close(fd); s.k.vfs.rootFS.used.Load() == 0 {
		t.Error("the content is gone while it is open")
	}
}

// An open concurrent with a rename over the name finds the old or the new file.
func TestOpenBesideRename(t *testing.T) {
	s := newSystem(t)
	s.writeFile("/tmp/f", "0")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		defer close(stop)
		for i := range 2000 {
			s.writeFile("/tmp/new", fmt.Sprint(i))
			s.must(syscall.SYS_RENAME, "/tmp/new", "/tmp/f")
		}
	})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				fd, e := s.call(syscall.SYS_OPEN, "/tmp/f", syscall.O_RDONLY, 0)
				if e != 0 {
					t.Error("open:", e)
					return
				}
				s.close(fd)
			}
		})
	}
	wg.Wait()
}

// A removed directory has no names, even if its inode is in use again.
func TestLookupInRemovedDirectory(t *testing.T) {
	s := newSystem(t)
	s.must(syscall.SYS_MKDIR, "/tmp/d", 0o755)
	fd := s.open("/tmp/d", oPath)
	s.must(syscall.SYS_RMDIR, "/tmp/d")
	d, _ := s.k.fds.get(fd)
	d.where.inode.(*tmpDir).insert("stray", s.k.vfs.rootFS.newInode(syscall.S_IFREG|0o600, 0))
	if _, e := s.call(syscall.SYS_OPENAT, fd, "stray", syscall.O_RDONLY, 0); e != syscall.ENOENT {
		t.Errorf("openat: %v; want ENOENT", e)
	}
	s.must(syscall.SYS_OPENAT, fd, "..", oPath, 0)
}
