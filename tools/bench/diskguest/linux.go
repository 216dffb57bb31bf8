package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// start does what the init of a Linux guest must: /m/order lists the modules to
// load. On yolk there is no such file, and the disk is mounted already.
func start() {
	order, err := os.ReadFile("/m/order")
	if err != nil {
		return
	}
	syscall.Mknod("/dev/console", syscall.S_IFCHR|0o600, 5<<8|1)
	if fd, err := syscall.Open("/dev/console", syscall.O_RDWR, 0); err == nil {
		for i := range 3 {
			syscall.Dup2(fd, i)
		}
	}
	for _, m := range strings.Fields(string(order)) {
		if err := load("/m/" + m); err != nil {
			fmt.Println(m+":", err)
		}
	}
	os.Mkdir(dir, 0o755)
	os.Mkdir("/tmp", 0o1777)
	syscall.Mknod("/dev/vda", syscall.S_IFBLK|0o600, 254<<8)
	for range 100 { // a module may find its device later
		if err = mount(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("mount:", err)
}

// mount tries the numbers that virtio_blk may have been given.
func mount() error {
	text, err := os.ReadFile("/proc/partitions")
	if err != nil {
		os.Mkdir("/proc", 0o755)
		syscall.Mount("proc", "/proc", "proc", 0, "")
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 4 && f[3] == "vda" {
			var major, minor int
			fmt.Sscan(f[0], &major)
			fmt.Sscan(f[1], &minor)
			os.Remove("/dev/vda")
			syscall.Mknod("/dev/vda", syscall.S_IFBLK|0o600, major<<8|minor)
		}
	}
	return syscall.Mount("/dev/vda", dir, "ext4", 0, "")
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const finitModule = 313
	var noParameters [1]byte
	if _, _, e := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(&noParameters)), 0); e != 0 {
		return e
	}
	return nil
}

// finish ends a Linux guest; on yolk the program's end does.
func finish() {
	if _, err := os.Stat("/m/order"); err == nil {
		syscall.Sync()
		syscall.Unmount(dir, 0)
		syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	}
}
