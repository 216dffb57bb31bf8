package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/vm"
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

// patternOf is what the guest's fill writes.
func patternOf(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i>>9) ^ byte(i) ^ byte(i>>20)*3
	}
	return p
}

// What the host has written is read from /dev/vda, and what is written there is in
// the host's file, on each machine.
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

// A request that the host does not answer is told of, and waited for; one that
// fails is an error of that request alone.
func TestDiskStuck(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	d := serveNBD(t, 16<<20, func(write bool, off uint64, n uint32) uint32 {
		switch {
		case off == 2<<20:
			<-release
		case off == 3<<20 || write:
			return uint32(syscall.EIO)
		}
		return 0
	})
	m := vm.Start(t, vm.Options{
		Flags: []string{"-tags", "yolkdisk", "-qemu-arg", "-drive", "-qemu-arg", "if=none,id=d,format=raw,werror=report,file=nbd:" + d.addr,
			"-qemu-arg", "-device", "-qemu-arg", "virtio-blk-device,drive=d"},
		Target: disk, Args: []string{"wait", "/dev/vda", "1", "2", "3", "4"},
	})
	m.WaitFor("read: <nil>\n")
	m.WaitFor("yolk: vda: the host has not answered a read of 512 bytes at 2097152 for 30 s; the program waits\n")
	close(release)
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	_, rest, _ := strings.Cut(m.Stdout(), "waits\n")
	want := "read: <nil>\nread: read /dev/vda: input/output error\nread: <nil>\nwrite: write /dev/vda: input/output error\nsync: <nil>\ndone\n"
	if rest != want {
		t.Errorf("the program says %q; want %q", rest, want)
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
