package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
	"github.com/yolk-unikernel/yolk/tools/debian"
)

// linuxGuest is Debian's kernel with the program disk as its /init.
type linuxGuest struct{ kernel, initrd string }

func newLinuxGuest(t *testing.T) linuxGuest {
	t.Helper()
	vm.Command(t) // or the test is skipped
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	kernel, err := debian.Find(ctx)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	g := linuxGuest{kernel.Image, filepath.Join(dir, "initrd")}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "init"), "./testdata/disk")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := kernel.WriteInitramfs(ctx, g.initrd, filepath.Join(dir, "init"), debian.DiskModules); err != nil {
		t.Fatal(err)
	}
	return g
}

// run boots the guest with a disk on /data and returns its output. It kills the VMM at a line that is
// equal to until.
func (g linuxGuest) run(t *testing.T, disk, until string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "microvm,acpi=on,rtc=on,pit=on,pic=on", "-accel", "tcg", "-cpu", "max", "-m", "256M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-global", "virtio-mmio.force-legacy=false", "-drive", "if=none,id=d0,format=raw,file="+disk, "-device", "virtio-blk-device,drive=d0",
		"-kernel", g.kernel, "-initrd", g.initrd, "-append", "console=ttyS0 quiet loglevel=1 panic=-1 reboot=t mount=/data"+debian.TSCWords()+" -- "+strings.Join(args, " "))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	b := make([]byte, 4096)
	for err == nil && (until == "" || !strings.Contains(text.String(), until)) {
		var n int
		n, err = out.Read(b)
		text.Write(b[:n])
	}
	if until != "" {
		cmd.Process.Kill()
	}
	cmd.Wait()
	got := strings.ReplaceAll(text.String(), "\r\n", "\n")
	if until == "" && !strings.Contains("\n"+got, "\ndone\n") || !strings.Contains(got, until) || strings.Contains(got, "wrong") {
		t.Errorf("linux %q prints:\n%s", args, got)
	}
	return got
}

// checksums are the lines printed by the case tree.
func checksums(t *testing.T, output string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "/data/") {
			lines = append(lines, line)
		}
	}
	all := strings.Join(lines, "")
	if !strings.Contains(all, "/data/synced 123456 ") {
		t.Errorf("what was synced is missing:\n%s", output)
	}
	return all
}

// Linux reads the files that yolk wrote, and yolk those of Linux, with the same checksums, after a clean
// end and after the VMM was killed.
func TestDiskAndLinux(t *testing.T) {
	t.Parallel()
	linux := newLinuxGuest(t)
	yolkTree := func(disk string) string {
		t.Helper()
		return checksums(t, runDisk(t, []string{"-disk", disk + ":/data"}, "tree", "/data").Stdout)
	}
	linuxTree := func(disk string) string { t.Helper(); return checksums(t, linux.run(t, disk, "", "tree", "/data")) }
	for what, write := range map[string]func(t *testing.T, disk string){
		"yolk ends": func(t *testing.T, disk string) {
			wantRight(t, runDisk(t, []string{"-disk", disk + ":/data"}, "write", "/data", "return"))
		},
		"yolk is killed": func(t *testing.T, disk string) {
			m := vm.Start(t, vm.Options{Flags: []string{"-disk", disk + ":/data"}, Target: "./test/testdata/disk", Args: []string{"write", "/data", "hang"}})
			m.WaitFor("hanging\n")
			m.Kill()
		},
		"linux ends":      func(t *testing.T, disk string) { linux.run(t, disk, "", "write", "/data", "return") },
		"linux is killed": func(t *testing.T, disk string) { linux.run(t, disk, "hanging", "write", "/data", "hang") },
	} {
		t.Run(what, func(t *testing.T) {
			disk := disks.New(t, "64M")
			write(t, disk)
			second := disks.Copy(t, disk)
			if y, l := yolkTree(disk), linuxTree(second); y != l {
				t.Errorf("yolk finds\n%sLinux finds\n%s", y, l)
			}
			disks.Run(t, "e2fsck", "-fn", disk)
			disks.Run(t, "e2fsck", "-fn", second)
		})
	}
}
