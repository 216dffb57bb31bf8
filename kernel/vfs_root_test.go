package kernel

import (
	"strings"
	"syscall"
	"testing"
)

// readOnlyTmpfs reports that it is read-only and refuses changes.
type readOnlyTmpfs struct{ *tmpfs }

func (readOnlyTmpfs) ReadOnly() bool { return true }

// rootDisk is a file system with some files, for MountRoot.
func rootDisk(s *system) *tmpfs {
	fs := newTmpfs(s.k, "disk", 99)
	fs.place("etc/hosts", syscall.S_IFREG|0o644).(*tmpFile).data.writeAt([]byte("the disk's"), 0)
	fs.place("etc/hostname", syscall.S_IFREG|0o644) // empty, as in images of containers
	etc, _ := fs.find("etc")
	etc.(*tmpDir).Symlink("resolv.conf", "../run/none/resolv.conf")
	fs.place("tmp/old", syscall.S_IFREG|0o644)
	fs.place("data/file", syscall.S_IFREG|0o644).(*tmpFile).data.writeAt([]byte("content"), 0)
	return fs
}

func TestMountRoot(t *testing.T) {
	s := newSystem(t)
	s.writeFile("/lost", "initial")
	if e := s.k.MountRoot(rootDisk(s), "/dev/vda"); e != 0 {
		t.Fatal(e)
	}
	s.k.SetFile("/etc/resolv.conf", func() []byte { return []byte("nameserver 10.0.2.3\n") })
	for path, want := range map[string]string{
		"/data/file": "content", "/etc/hosts": "the disk's", "/etc/hostname": "yolk\n", "/etc/resolv.conf": "nameserver 10.0.2.3\n",
		"/proc/sys/kernel/ostype": "Linux\n", "/sys/devices/system/node/online": "0\n", "/proc/1/root/data/file": "content",
	} {
		if got := s.readFile(path); got != want {
			t.Errorf("%s holds %q; want %q", path, got, want)
		}
	}
	for path, want := range map[string]syscall.Errno{"/lost": syscall.ENOENT, "/tmp/old": syscall.ENOENT, "/etc/passwd": 0, "/run": 0, "/dev/null": 0} {
		if _, e := s.stat(path); e != want {
			t.Errorf("stat of %s = %v; want %v", path, e, want)
		}
	}
	s.writeFile("/dev/null", "x")
	s.writeFile("/tmp/new", "x")
	s.writeFile("/new", "y")
	if root, _ := s.stat("/"); root.Dev != 99 {
		t.Errorf("the root is on device %d; want 99", root.Dev)
	}
	if tmp, _ := s.stat("/tmp/new"); tmp.Dev == 99 || tmp.Dev == 1 {
		t.Errorf("/tmp is on device %d; want one of its own", tmp.Dev)
	}
	if _, e := s.call(syscall.SYS_UNLINK, "/etc/hostname"); e != syscall.EBUSY {
		t.Errorf("unlink of what is shown from elsewhere = %v; want EBUSY", e)
	}
	s.must(syscall.SYS_UNLINK, "/etc/hosts")
	mounts := s.readFile("/proc/mounts")
	for _, line := range []string{"/dev/vda / disk rw,relatime 0 0\n", "proc /proc proc ", "tmpfs /tmp tmpfs ", "rootfs /etc/hostname tmpfs "} {
		if !strings.Contains(mounts, line) {
			t.Errorf("/proc/mounts lacks %q:\n%s", line, mounts)
		}
	}
	fd := s.must(nrMemfdCreate, "m", 0)
	s.write(fd, "memory")
}

// A read-only root must have the directories that the kernel needs.
func TestMountRootReadOnly(t *testing.T) {
	s := newSystem(t)
	fs := rootDisk(s)
	if e := s.k.MountRoot(readOnlyTmpfs{fs}, "/dev/vda"); e != syscall.ENOENT {
		t.Fatalf("without /dev: %v; want ENOENT", e)
	}
	if _, e := s.stat("/data"); e != syscall.ENOENT {
		t.Errorf("the root has changed all the same: %v", e)
	}
	for _, dir := range []string{"dev", "proc", "sys"} {
		fs.place(dir, syscall.S_IFDIR|0o755)
	}
	if e := s.k.MountRoot(readOnlyTmpfs{fs}, "/dev/vda"); e != 0 {
		t.Fatal(e)
	}
	if got := s.readFile("/etc/passwd"); !strings.HasPrefix(got, "root:") {
		t.Errorf("/etc/passwd holds %q", got)
	}
}
