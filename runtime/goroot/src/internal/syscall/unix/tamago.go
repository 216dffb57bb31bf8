//go:build tamago

package unix

import "syscall"

// kernelFcntl makes the call of a program's descriptor: runtime.fcntl would
// reach the machine half, which has none.
func kernelFcntl(fd, cmd, arg int) (val int, err error, ok bool) {
	r, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(cmd), uintptr(arg))
	if e != 0 {
		return -1, e, true
	}
	return int(int32(r)), nil, true
}
