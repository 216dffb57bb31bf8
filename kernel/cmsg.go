package kernel

import "syscall"

// Control messages (cmsg(3)) come from the program: all lengths are checked.

const (
	cmsgHeader = 16  // sizeof(struct cmsghdr)
	scmMaxFDs  = 253 // SCM_MAX_FD, unix(7)
)

func cmsgAlign(n int) int { return (n + 7) &^ 7 }

// nextControl splits the first control message off c: its level, type and data, the whole
// message, and the rest of c. ok is false if it is malformed.
func nextControl(c []byte) (level, typ int32, data, whole, rest []byte, ok bool) {
	if len(c) < cmsgHeader {
		return 0, 0, nil, nil, nil, false
	}
	n := get64(c)
	if n < cmsgHeader || n > uint64(len(c)) {
		return 0, 0, nil, nil, nil, false
	}
	lt := get64(c[8:])
	end := min(cmsgAlign(int(n)), len(c))
	return int32(lt), int32(lt >> 32), c[cmsgHeader:n], c[:end], c[end:], true
}

// takeRights separates descriptors that are to be sent (SCM_RIGHTS) from other control
// messages and turns them into references.
func (k *Kernel) takeRights(c []byte) (other []byte, rights []*Description, e syscall.Errno) {
	drop := func(e syscall.Errno) ([]byte, []*Description, syscall.Errno) {
		for _, r := range rights {
			r.DecRef()
		}
		return nil, nil, e
	}
	for len(c) >= cmsgHeader {
		level, typ, data, whole, rest, ok := nextControl(c)
		if !ok {
			return drop(syscall.EINVAL)
		}
		c = rest
		if level != syscall.SOL_SOCKET || typ != syscall.SCM_RIGHTS {
			other = append(other, whole...)
			continue
		}
		if len(data)%4 != 0 || len(rights)+len(data)/4 > scmMaxFDs {
			return drop(syscall.EINVAL)
		}
		for ; len(data) >= 4; data = data[4:] {
			fd := int32(uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24)
			d, e := k.fds.get(int(fd))
			if e != 0 {
				return drop(e)
			}
			rights = append(rights, d)
		}
	}
	return other, rights, 0
}

// giveRights installs received descriptions and appends their numbers to the control
// messages of m. Those for which there is no room are closed, and MSG_CTRUNC is set.
func (k *Kernel) giveRights(m *Message, cloexec bool) {
	start := cmsgAlign(m.ControlLen)
	fits := min((len(m.Control)-start-cmsgHeader)/4, len(m.Rights))
	n := 0
	for i, d := range m.Rights {
		if i >= fits {
			d.DecRef()
			m.Flags |= syscall.MSG_CTRUNC
			continue
		}
		fd, e := k.fds.install(d, 0, cloexec)
		if e != 0 {
			m.Flags |= syscall.MSG_CTRUNC
			fits = 0
			continue
		}
		p := m.Control[start+cmsgHeader+4*n:]
		p[0], p[1], p[2], p[3] = byte(fd), byte(fd>>8), byte(fd>>16), byte(fd>>24)
		n++
	}
	m.Rights = nil
	if n == 0 {
		return
	}
	size := cmsgHeader + 4*n
	put64(m.Control[start:], uint64(size))
	put64(m.Control[start+8:], uint64(syscall.SOL_SOCKET)|uint64(syscall.SCM_RIGHTS)<<32)
	m.ControlLen = min(start+cmsgAlign(size), len(m.Control))
}
