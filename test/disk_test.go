package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/nbd"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const disk = "./test/testdata/disk"

// newDisk makes a file of size bytes of noise.
func newDisk(t *testing.T, size int) (name string, data []byte) {
	t.Helper()
	name, data = filepath.Join(t.TempDir(), "a,b.img"), make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name, data
}

func runDisk(t *testing.T, flags []string, args ...string) vm.Result {
	t.Helper()
	return vm.Run(t, vm.Options{Flags: flags, Target: disk, Args: args})
}

// patternOf is what the guest's function fill writes.
func patternOf(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i>>9) ^ byte(i) ^ byte(i>>20)*3
	}
	return p
}

// The program reads from /dev/vda what the host has written, and writes to the host's file, on each
// machine.
func TestDiskRaw(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		for _, cpus := range []string{"1", "4"} {
			t.Run(machine+"/"+cpus, func(t *testing.T) {
				t.Parallel()
				name, data := newDisk(t, 12<<20+512)
				flags := []string{"-machine", machine, "-smp", cpus, "-disk", name}
				wantRight(t, runDisk(t, flags, "pattern", "/dev/vda"), fmt.Sprintf("read %d sum %x\n", len(data), sha256.Sum256(data)))
				got, err := os.ReadFile(name)
				if err != nil || !bytes.Equal(got, patternOf(len(data))) {
					t.Errorf("the host's file is not what the guest wrote (%d bytes, %v)", len(got), err)
				}
				wantRight(t, runDisk(t, flags, "stress", "/dev/vda"))
			})
		}
	}
}

// Disks have the order of the command line; a read-only one cannot be changed.
func TestDiskReadOnly(t *testing.T) {
	t.Parallel()
	first, _ := newDisk(t, 1<<20)
	second, data := newDisk(t, 2<<20)
	flags := []string{"-disk", first, "-disk", second + ":ro"}
	wantRight(t, runDisk(t, flags, "info", "/dev/vda", "/dev/vdb"),
		"/dev/vda Drw-rw---- 0 size 1048576 1048576 block 512 512 ro 0\n/dev/vdb Drw-rw---- 16 size 2097152 2097152 block 512 512 ro 1\n")
	wantRight(t, runDisk(t, flags, "readonly", "/dev/vdb"), fmt.Sprintf("first byte %#x\n", data[0]))
	if got, err := os.ReadFile(second); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the read-only disk has changed, %v", err)
	}
}

// A request that the host does not answer is reported, and waited for. A failed request is an error
// of that request alone.
func TestDiskStuck(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	d := blocktest.NewFaulty(blocktest.NewMemory(16<<20, 512))
	d.SetRule(func(r blocktest.Request) syscall.Errno {
		switch {
		case r.Kind == blocktest.Flush:
		case r.Off == 2<<20:
			<-release
		case r.Off == 3<<20 || r.Kind == blocktest.Write:
			return syscall.EIO
		}
		return 0
	})
	m := vm.Start(t, vm.Options{
		Flags: []string{"-tags", "yolkdisk", "-qemu-arg", "-drive", "-qemu-arg", "if=none,id=d,format=raw,werror=report,file=nbd:" + nbd.Serve(t, d),
			"-qemu-arg", "-device", "-qemu-arg", "virtio-blk-device,drive=d"},
		Target: disk, Args: []string{"wait", "/dev/vda", "1", "2", "3", "4"},
	})
	m.WaitFor("read: <nil>\n")
	m.WaitFor("yolk: vda: the host has not answered a read of 512 bytes at 2097152 for 30 s; the program waits\n")
	close(release)
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	want := "read: <nil>\nread: <nil>\nread: read /dev/vda: input/output error\nread: <nil>\nwrite: write /dev/vda: input/output error\nsync: <nil>\ndone\n"
	if got := m.Stdout(); got != want {
		t.Errorf("the program says %q; want %q", got, want)
	}
}

// A disk with blocks of 4 KiB and several queues.
func TestDiskLargeBlocks(t *testing.T) {
	t.Parallel()
	name, data := newDisk(t, 4<<20)
	got := runDisk(t, []string{"-machine", "q35", "-smp", "4",
		"-qemu-arg", "-drive", "-qemu-arg", "if=none,id=d,format=raw,file=" + strings.ReplaceAll(name, ",", ",,"),
		"-qemu-arg", "-device", "-qemu-arg", "virtio-blk-pci,drive=d,logical_block_size=4096,physical_block_size=4096,num-queues=4,disable-legacy=on",
		"-tags", "yolkdisk"}, "pattern", "/dev/vda")
	wantRight(t, got, fmt.Sprintf("read %d sum %x\n", len(data), sha256.Sum256(data)))
	if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, patternOf(len(data))) {
		t.Errorf("the host's file is not what the guest wrote, %v", err)
	}
}

// The files that a program writes are there for other programs and for its next run.
func TestDiskFiles(t *testing.T) {
	for _, tt := range []struct {
		machine, cpus, memory string
		options               []string
	}{
		{"microvm", "1", "64M", nil}, {"microvm", "4", "256M", []string{"-b", "1024"}}, {"q35", "2", "256M", []string{"-b", "4096"}},
		{"pc", "1", "256M", []string{"-I", "128"}},
	} {
		t.Run(tt.machine+"/"+tt.cpus, func(t *testing.T) {
			t.Parallel()
			name := disks.New(t, "64M", tt.options...)
			flags := []string{"-machine", tt.machine, "-smp", tt.cpus, "-m", tt.memory, "-disk", name + ":/data"}
			wantRight(t, runDisk(t, flags, "write", "/data", "return"))
			disks.WantClean(t, name)
			if got := disks.Run(t, "debugfs", "-R", "cat /synced", name); !strings.Contains(got, "synced has lines like this one\nsynced has") {
				t.Errorf("debugfs finds %.100q", got)
			}
			if got := disks.Run(t, "debugfs", "-R", "stat /dir2/file25", name); !strings.Contains(got, "Size: 1000\n") {
				t.Errorf("debugfs finds %s", got)
			}
			wantRight(t, runDisk(t, flags, "read", "/data"), "files 50\n")
			flags[len(flags)-1] += ":ro"
			got := runDisk(t, flags, "change", "/data")
			wantRight(t, got, "write: open /data/new: read-only file system\n")
			disks.WantClean(t, name)
		})
	}
}

// However a program ends, nothing is lost and the disk is clean, except with a fatal error of the
// runtime: unsynced data is lost then, as in a power cut.
func TestDiskEnds(t *testing.T) {
	for how, want := range map[string]struct {
		status int
		signal syscall.Signal
		lost   bool
	}{
		"exit": {status: 7}, "reboot": {}, "signal": {status: 128 + 15, signal: syscall.SIGTERM}, "handled": {signal: syscall.SIGTERM},
		"panic": {status: 2}, "fault": {status: 2}, "goroutine": {status: 2}, "fatal": {status: 2, lost: true},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			name := disks.New(t, "64M")
			m := vm.Start(t, vm.Options{Flags: []string{"-disk", name + ":/data"}, Target: disk, Args: []string{"write", "/data", how}})
			m.WaitFor("written\n")
			if want.signal != 0 {
				m.Signal(want.signal)
			}
			if got := m.Wait(); got != want.status {
				t.Errorf("exit status %d; want %d", got, want.status)
			}
			read := []string{"read", "/data"}
			if want.lost {
				read = append(read, "synced")
			} else {
				disks.WantClean(t, name)
			}
			wantRight(t, runDisk(t, []string{"-disk", name + ":/data"}, read...))
			disks.WantClean(t, name)
		})
	}
}

// After the VMM was killed a program finds the data that was synced, and the journal's replay leaves
// the disk consistent.
func TestDiskKilled(t *testing.T) {
	t.Parallel()
	name := disks.New(t, "64M")
	for range 2 {
		m := vm.Start(t, vm.Options{Flags: []string{"-disk", name + ":/data"}, Target: disk, Args: []string{"write", "/data", "hang"}})
		m.WaitFor("hanging\n")
		m.Kill()
		wantRight(t, runDisk(t, []string{"-disk", name + ":/data"}, "read", "/data", "synced"))
		disks.WantClean(t, name)
	}
}

// Large directories and files, many open files and many writers fit in a small VM.
// DISK_ENTRIES=100000 makes the directory larger.
func TestDiskLimits(t *testing.T) {
	t.Parallel()
	entries := os.Getenv("DISK_ENTRIES")
	if entries == "" {
		entries = "10000"
	}
	name := disks.New(t, "2048M") // with 131,072 inodes
	got := runDisk(t, []string{"-smp", "2", "-m", "128M", "-disk", name + ":/data"}, "limits", "/data", entries)
	wantRight(t, got, "entries "+entries+"\nsparse 107374182400 \"\\x00\\x00begin\\x00\\x00\"\nopen 1000\nwriters 64\n")
	disks.WantClean(t, name)
}

// The host can use blocks again that no file needs any more.
func TestDiskShrinks(t *testing.T) {
	t.Parallel()
	name := disks.New(t, "64M")
	flags := []string{"-disk", name + ":/data"}
	wantRight(t, runDisk(t, flags, "fill", "/data"), "no space left on device\n")
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil || st.Blocks*512 > 20<<20 {
		t.Errorf("the file was filled and emptied; it has %d bytes on the host, %v", st.Blocks*512, err)
	}
	disks.WantClean(t, name)
}

// A disk is the root: with its own files, and others that a system needs.
func TestDiskRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, text := range map[string]string{"etc/motd": "welcome\n", "etc/hosts": "10.1.2.3 own\n", "etc/hostname": "", "app/data": "content\n"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755)
		write(t, dir, path, text)
	}
	name := disks.New(t, "64M", "-d", dir)
	for _, suffix := range []string{":/", ":/:ro"} {
		got := runDisk(t, []string{"-disk", name + suffix, "-w", "/app"}, "show", "data:", "/etc/motd:", "/etc/hosts:", "/etc/hostname:", "/proc/self/stat:1",
			"/etc/passwd:root", "/dev/null:", "/mnt/x:")
		wantRight(t, got, "content\nwelcome\n10.1.2.3 own\nyolk\n1 (", "root:x:0:0:root:/root:/bin/sh\nopen /mnt/x: no such file or directory\n")
		got = runDisk(t, []string{"-disk", name + suffix}, "change", "/tmp")
		wantRight(t, got, "write: <nil>\nremove: <nil>\n")
		disks.WantClean(t, name)
	}
	got := runDisk(t, []string{"-disk", name + ":/"}, "write", "/", "return")
	wantRight(t, got)
	disks.WantClean(t, name)
	wantRight(t, runDisk(t, []string{"-disk", name + ":/mnt/x y:ro"}, "read", "/mnt/x y"))
}

// The guest finds the files that yolk disk create copies to a disk.
func TestDiskCreate(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), filepath.Join(t.TempDir(), "made.img")
	want := []string{"done\n"}
	for i, path := range []string{"a", "sub/b", "sub/deep/c d"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755)
		data := strings.Repeat(path, i*i*50_000)
		write(t, dir, path, data)
		want = append(want, fmt.Sprintf("/data/%s %d %x\n", path, len(data), sha256.Sum256([]byte(data))))
	}
	if got := vm.Yolk(t, vm.Options{}, "disk", "create", "-size", "32M", "-from", dir, name); got.Status != 0 {
		t.Fatalf("yolk disk create: %+v", got)
	}
	wantRight(t, runDisk(t, []string{"-disk", name + ":/data:ro"}, "tree", "/data"), want...)
	got := runDisk(t, []string{"-disk", name + ":/data"}, "fill", "/data")
	wantRight(t, got, "no space left on device\n")
	disks.WantClean(t, name)
	wantRight(t, runDisk(t, []string{"-disk", name + ":/data"}, "tree", "/data"), want...)
	if got := vm.Yolk(t, vm.Options{}, "disk", "check", name); got.Status != 0 {
		t.Errorf("yolk disk check: %+v", got)
	}
}

// A sealed image is read like a disk and cannot be changed; it may be the root.
func TestDiskSealed(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), filepath.Join(t.TempDir(), "sealed.img")
	want := []string{}
	for i, path := range []string{"a", "sub/b", "sub/deep/c d"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755)
		data := strings.Repeat(path, 10+i*i*50_000)
		write(t, dir, path, data)
		want = append(want, fmt.Sprintf("/data/%s %d %x\n", path, len(data), sha256.Sum256([]byte(data))))
	}
	for _, d := range []string{"dev", "proc", "sys", "tmp"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	if got := vm.Yolk(t, vm.Options{}, "disk", "create", "-type", "erofs", "-from", dir, name); got.Status != 0 {
		t.Fatalf("yolk disk create: %+v", got)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{":/data", ":/data:ro"} {
		wantRight(t, runDisk(t, []string{"-disk", name + suffix}, "tree", "/data"), want...)
		wantRight(t, runDisk(t, []string{"-disk", name + suffix}, "change", "/data"), "write: open /data/new: read-only file system\n")
	}
	wantRight(t, runDisk(t, []string{"-disk", name + ":/"}, "show", "/a:", "/proc/self/stat:1"), "a", "1 (")
	wantRight(t, runDisk(t, []string{"-disk", name + ":/"}, "change", "/tmp"), "write: <nil>\nremove: <nil>\n")
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the image has changed, %v", err)
	}
}

// A disk that cannot be mounted ends the program with the reason and advice.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	empty, noise := filepath.Join(t.TempDir(), "empty.img"), filepath.Join(t.TempDir(), "xfs.img")
	os.WriteFile(empty, make([]byte, 1<<20), 0o644)
	os.WriteFile(noise, append([]byte("XFSB"), make([]byte, 1<<20-4)...), 0o644)
	good := disks.New(t, "16M")
	for _, tt := range []struct {
		flags []string
		want  string
	}{
		{[]string{"-disk", empty + ":/data"}, "yolk: mounting disk0 on /data: vda holds no file system; make one with yolk disk create"},
		{[]string{"-disk", noise + ":/data"}, "yolk: mounting disk0 on /data: vda holds XFS; what can be mounted is ext4 or EROFS"},
		{[]string{"-disk", good + ":/etc/hosts"}, "yolk: mounting disk0 on /etc/hosts: not a directory; it must be a folder"},
		{[]string{"-disk", good + ":/:ro"}, "yolk: mounting disk0 on /: a read-only root needs the directories dev, proc, sys and tmp: make them in the folder that the image is of, or mount the disk once without ro"},
	} {
		got := runDisk(t, tt.flags, "tree", "/data")
		if got.Stdout != "" || !strings.Contains(got.Stderr, tt.want) || got.Status != 1 {
			t.Errorf("%q: %+v; want status 1 and %q", tt.flags, got, tt.want)
		}
	}
	disks.WantClean(t, good)
}

// An image without support for disks that is given one prints how to build it.
func TestDiskNotBuiltIn(t *testing.T) {
	t.Parallel()
	line := vm.Run(t, vm.Options{Flags: []string{"-n", "-v", t.TempDir() + ":/mnt"}, Target: folder, Args: []string{"show", "/mnt"}}).Stdout
	for _, word := range []string{"mount=disk0:/mnt", "root=disk0"} {
		cmd := exec.Command("timeout", "60", "sh", "-c", strings.Replace(line, "mount=folder0:/mnt", word, 1))
		out, _ := cmd.Output()
		if want := "this image is built without disks; build it with yolk build -disk, or with go build -tags yolkdisk\n"; !strings.Contains(string(out), want) {
			t.Errorf("%s: got %q; want %q", word, out, want)
		}
	}
}

// Two VMs cannot use one disk: the second gets an error.
func TestDiskInUse(t *testing.T) {
	t.Parallel()
	name := disks.New(t, "64M")
	m := vm.Start(t, vm.Options{Flags: []string{"-disk", name + ":/data"}, Target: disk, Args: []string{"write", "/data", "hang"}})
	m.WaitFor("hanging\n")
	got := runDisk(t, []string{"-disk", name + ":/data"}, "tree", "/data")
	if want := "yolk: " + name + " is in use by another VM"; got.Status == 0 || !strings.Contains(got.Stderr, want) {
		t.Errorf("got %+v; want %q", got, want)
	}
}

// A program can end even if its disk does not answer any more.
func TestDiskStuckAtEnd(t *testing.T) {
	t.Parallel()
	name := disks.New(t, "64M")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var stuck atomic.Bool
	d := blocktest.NewFaulty(blocktest.FromBytes(data, 512))
	d.SetRule(func(r blocktest.Request) syscall.Errno {
		if stuck.Load() && r.Kind == blocktest.Write {
			select {}
		}
		return 0
	})
	line := vm.Run(t, vm.Options{Flags: []string{"-n", "-disk", name + ":/data"}, Target: disk, Args: []string{"write", "/data", "later"}}).Stdout
	cmd := exec.Command("timeout", "120", "sh", "-c", strings.Replace(line, "file="+name, "file=nbd:"+nbd.Serve(t, d), 1))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		stuck.CompareAndSwap(false, lines.Text() == "written")
		told = told || lines.Text() == "yolk: the disks do not answer and cannot be unmounted; the program ends without that"
	}
	cmd.Wait()
	// isa-debug-exit: twice the program's status plus one
	if !told || cmd.ProcessState.ExitCode() != 2*3+1 {
		t.Errorf("told %v, exit status %d; want true, 7", told, cmd.ProcessState.ExitCode())
	}
}
