// Package boot is the first thing that a program does which is the /init of a guest of package
// debian: it sets up the console, modules and a mounted disk. In any other process, and on
// yolk, its functions do nothing.
package boot

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// order is the file that lists the modules.
const order = "/m/order"

// Guest reports whether this process is such an /init.
func Guest() bool {
	_, err := os.Stat(order)
	return err == nil && os.Getpid() == 1
}

// Start makes the kernel's console the standard files and loads the modules. It prints errors.
func Start() {
	if !Guest() {
		return
	}
	syscall.Mknod("/dev/console", syscall.S_IFCHR|0o600, 5<<8|1)
	if fd, err := syscall.Open("/dev/console", syscall.O_RDWR, 0); err == nil {
		for i := range 3 {
			syscall.Dup2(fd, i)
		}
	}
	list, err := os.ReadFile(order)
	if err != nil {
		fmt.Println(err)
	}
	for _, m := range strings.Fields(string(list)) {
		if err := load("/m/" + m); err != nil {
			fmt.Println(m+":", err)
		}
	}
}

// Mount mounts the first disk, ext4, on dir. It prints errors.
func Mount(dir string) {
	if !Guest() {
		return
	}
	for _, d := range []string{dir, "/tmp", "/proc"} {
		os.Mkdir(d, 0o755)
	}
	syscall.Mount("proc", "/proc", "proc", 0, "")
	var err error
	for range 100 { // a module may find its device later
		if err = mount(dir); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("mount:", err)
}

// mount makes the disk's node, with the device numbers of virtio_blk.
func mount(dir string) error {
	text, err := os.ReadFile("/proc/partitions")
	if err != nil {
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

// End unmounts the disk and ends the guest.
func End(dir string) {
	if !Guest() {
		return
	}
	syscall.Sync()
	syscall.Unmount(dir, 0)
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
}
