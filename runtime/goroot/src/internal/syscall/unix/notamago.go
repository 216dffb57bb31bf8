//go:build unix && !tamago

package unix

func kernelFcntl(fd, cmd, arg int) (val int, err error, ok bool) { return 0, nil, false }
