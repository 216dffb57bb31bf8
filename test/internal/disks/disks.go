// Package disks makes and checks ext4 disks for tests, with the programs of e2fsprogs.
package disks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Run returns the output of a program of e2fsprogs, which must exit with 0. If the program is not
// installed the test is skipped.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skip(name + " is not installed: apt-get install e2fsprogs")
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// New makes a disk of a size, such as 64M, with mkfs.ext4 and its options.
func New(t testing.TB, size string, options ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	Run(t, "mkfs.ext4", append(append([]string{"-q"}, options...), name, size)...)
	return name
}

// WantClean checks that a disk is consistent and that no journal has to be replayed.
func WantClean(t testing.TB, name string) {
	t.Helper()
	Run(t, "e2fsck", "-fn", name)
	if s := Run(t, "dumpe2fs", "-h", name); strings.Contains(s, "needs_recovery") || !strings.Contains(s, "Filesystem state:         clean\n") {
		t.Errorf("the disk is not clean:\n%s", s)
	}
}

// Copy copies a disk, because a mount after a kill replays the journal.
func Copy(t testing.TB, disk string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "copy.img")
	b, err := os.ReadFile(disk)
	if err == nil {
		err = os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
