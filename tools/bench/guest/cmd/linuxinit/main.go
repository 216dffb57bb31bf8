// Command linuxinit is the benchmark's program as the init of a Linux guest: it
// loads the modules that /m/order lists, gives eth0 its address by ioctl
// (netdevice(7)), and then is the same program.
package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/tools/bench/guest/app"
	"github.com/yolk-unikernel/yolk/tools/debian/boot"
)

// address is a struct ifreq with an address in it, flags one with flags.
type (
	address struct {
		name [16]byte
		addr syscall.RawSockaddrInet4
		_    [8]byte
	}
	flags struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
)

func check(what string, err error) {
	if err != nil {
		fmt.Println(what+":", err)
	}
}

func ioctl(fd int, req uintptr, p unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), req, uintptr(p)); e != 0 {
		return e
	}
	return nil
}

func setAddress(fd int, name string, req uintptr, ip [4]byte) error {
	r := address{addr: syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: ip}}
	copy(r.name[:], name)
	return ioctl(fd, req, unsafe.Pointer(&r))
}

func up(fd int, name string) error {
	r := flags{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(r.name[:], name)
	return ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&r))
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
