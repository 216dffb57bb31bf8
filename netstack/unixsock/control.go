package unixsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// cmsgHeader is the size of a control message without data, in bytes: cmsg(3).
const cmsgHeader = 16

// sentCredentials returns the credentials in a sender's control messages, and whether there are
// any. The descriptor layer handles descriptors (SCM_RIGHTS), which are in Message.Rights.
func sentCredentials(control []byte, own syscall.Ucred) (syscall.Ucred, bool, syscall.Errno) {
	cred, found := own, false
	for len(control) >= cmsgHeader {
		n := binary.NativeEndian.Uint64(control)
		level := int32(binary.NativeEndian.Uint32(control[8:]))
		typ := int32(binary.NativeEndian.Uint32(control[12:]))
		if n < cmsgHeader || n > uint64(len(control)) {
			return cred, false, syscall.EINVAL
		}
		if level == syscall.SOL_SOCKET {
			switch typ {
			case syscall.SCM_RIGHTS:
			case syscall.SCM_CREDENTIALS:
				c, e := checkCredentials(control[cmsgHeader:n], own)
				if e != 0 {
					return cred, false, e
				}
				cred, found = c, true
			default:
				return cred, false, syscall.EINVAL
			}
		}
		control = control[min(solsocket.ControlAlign(int(n)), len(control)):]
	}
	return cred, found, 0
}

// checkCredentials accepts credentials that credentials(7) lets the superuser send: any ids, and
// the pid of an existing process, of which there is one.
func checkCredentials(data []byte, own syscall.Ucred) (syscall.Ucred, syscall.Errno) {
	if len(data) != solsocket.UcredSize {
		return own, syscall.EINVAL
	}
	c := syscall.Ucred{
		Pid: int32(binary.NativeEndian.Uint32(data)),
		Uid: binary.NativeEndian.Uint32(data[4:]),
		Gid: binary.NativeEndian.Uint32(data[8:]),
	}
	if own.Uid != 0 && c != own {
		return own, syscall.EPERM
	}
	if c.Pid != own.Pid {
		return own, syscall.ESRCH
	}
	return c, 0
}

// putCredentials adds an SCM_CREDENTIALS message to m, truncated if there is not enough room.
func putCredentials(m *kernel.Message, c syscall.Ucred) {
	var b [solsocket.UcredSize]byte
	putUcred(b[:], c)
	solsocket.PutControl(m, syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS, b[:])
}

func putUcred(dst []byte, c syscall.Ucred) {
	binary.NativeEndian.PutUint32(dst, uint32(c.Pid))
	binary.NativeEndian.PutUint32(dst[4:], c.Uid)
	binary.NativeEndian.PutUint32(dst[8:], c.Gid)
}
