// Command linuxinit is the benchmark's program as the init of a Linux guest: it loads the modules
// listed in /m/order, gives eth0 its address by ioctl (netdevice(7)), and then runs the same
// program.
package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/bench/guest/app"
	"github.com/yolk-unikernel/yolk/tools/debian/boot"
)

func check(what string, err error) {
	if err != nil {
		fmt.Println(what+":", err)
	}
}

func network() {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	check("socket", err)
	defer syscall.Close(fd)
	check("lo up", up(fd, "lo"))
	for range 4000 { // a module may probe its devices later: try for two seconds
		if err = setAddress(fd, "eth0", syscall.SIOCSIFADDR, [4]byte{10, 77, 0, 2}); err == nil {
			break
		}
		time.Sleep(500 * time.Microsecond)
	}
	check("address of eth0", err)
	check("netmask of eth0", setAddress(fd, "eth0", syscall.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}))
	check("eth0 up", up(fd, "eth0"))
}

func main() {
	boot.Start()
	network()
	app.Main()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
}
