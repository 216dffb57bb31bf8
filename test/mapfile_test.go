package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/nbd"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// Mappings of a disk's files, read and write agree, and so does the disk's content afterwards.
func TestMappedFiles(t *testing.T) {
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			image := disks.New(t, "512M")
			got := vm.Run(t, vm.Options{
				Flags:  []string{"-smp", cpus, "-m", "64M", "-disk", image + ":/data"},
				Target: "./test/testdata/mapfile",
				Args:   []string{"/data"},
			})
			wantOutput(t, got, 0, "fine\n")
			disks.WantClean(t, image)
		})
	}
}

// So do those of a folder of the host, which has what mappings have stored once the program has ended.
func TestMappedFolder(t *testing.T) {
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			got := vm.Run(t, vm.Options{
				Flags:  []string{"-smp", cpus, "-m", "256M", "-v", dir + ":/data"},
				Target: "./test/testdata/mapfile",
				Args:   []string{"/data"},
			})
			wantOutput(t, got, 0, "fine\n")
			if b, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || len(b) != 3*4096 || string(b[4096:4100]) != "kept" {
				t.Errorf("the host has %d bytes of a file that was mapped, and %q of what was stored there: %v", len(b), b[min(4096, len(b)):min(4100, len(b))], err)
			}
		})
	}
}

// stampedFiles makes a folder with files of 60 pages.
func stampedFiles(t *testing.T) (dir string) {
	dir = t.TempDir()
	var content bytes.Buffer
	for i := range 60 {
		fmt.Fprintf(&content, "page %d of the file", i)
		content.Write(make([]byte, 4096*(i+1)-content.Len()))
	}
	for _, name := range []string{"pages", "pages2", "cut", "cut2"} {
		if err := os.WriteFile(filepath.Join(dir, name), content.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A file from the host is mapped before anything has read it.
func TestMappedHostFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ check, cpus, want string }{
		{"whole", "1", ""}, {"written", "1", "page 5 of the file\n"}, {"cut", "1", ""}, {"around", "2", ""},
	} {
		name := disks.New(t, "64M", "-b", "4096", "-d", stampedFiles(t))
		got := vm.Run(t, vm.Options{Flags: []string{"-smp", tt.cpus, "-disk", name + ":/data"}, Target: "./test/testdata/mapfile", Args: []string{"/data", tt.check}})
		wantOutput(t, got, 0, tt.want)
		disks.WantClean(t, name)
	}
}

// Files of sealed images are mapped, too.
func TestMappedSealed(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "sealed.img")
	if got := vm.Yolk(t, vm.Options{}, "disk", "create", "-type", "erofs", "-from", stampedFiles(t), name); got.Status != 0 {
		t.Fatalf("yolk disk create: %+v", got)
	}
	got := vm.Run(t, vm.Options{Flags: []string{"-disk", name + ":/data"}, Target: "./test/testdata/mapfile", Args: []string{"/data", "whole"}})
	wantOutput(t, got, 0, "")
}

// An access to a page that the device cannot read is a fault at its address; the pages around it
// can be read.
func TestMappedReadError(t *testing.T) {
	t.Parallel()
	name := disks.New(t, "64M", "-b", "4096", "-d", stampedFiles(t))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := blocktest.NewFaulty(blocktest.FromBytes(data, 512))
	d.SetRule(func(r blocktest.Request) syscall.Errno {
		if r.Kind == blocktest.Read && bytes.Contains(data[r.Off:r.Off+r.N], []byte("page 21 of the file")) {
			return syscall.EIO
		}
		return 0
	})
	line := vm.Run(t, vm.Options{Flags: []string{"-n", "-disk", name + ":/data:ro"}, Target: "./test/testdata/mapfile", Args: []string{"/data", "broken"}}).Stdout
	line = strings.Replace(line, "file="+name, "file=nbd:"+nbd.Serve(t, d), 1)
	out, err := exec.Command("timeout", "120", "sh", "-c", line).Output()
	// isa-debug-exit: twice the program's status plus one
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Errorf("%v, %q; want status 1", err, out)
	}
}
