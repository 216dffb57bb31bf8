package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A known is a difference that is wanted, or accepted for a reason that a user would accept.
type known struct {
	name, reason string
	// match reports whether a difference is one of these.
	match func(d *difference) bool
	// onDisk says that the example needs files on a disk.
	onDisk bool
	// example is a sequence that shows it. TestKnown fails if it does not.
	example string
}

// listed returns the entry of the list that a difference belongs to; nil if it is none.
func listed(d *difference) *known {
	for i := range knowns {
		if knowns[i].match(d) {
			return &knowns[i]
		}
	}
	return nil
}

// isOp reports whether a difference shows at one of some calls.
func isOp(d *difference, names ...string) bool {
	s := d.step()
	return s != nil && slices.Contains(names, s.op.name)
}

// results returns what the call itself has returned on both sides: the first word.
func results(d *difference) (linux, yolk string) {
	linux, _, _ = strings.Cut(d.linux, " ")
	yolk, _, _ = strings.Cut(d.yolk, " ")
	return linux, yolk
}

// are reports whether the two results are these; "" stands for any number.
func are(d *difference, linux, yolk string) bool {
	l, y := results(d)
	return (l == linux || linux == "" && isNumber(l)) && (y == yolk || yolk == "" && isNumber(y))
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "-0123456789") == "" }

// uses reports whether an earlier step of the sequence is one of some calls.
func uses(d *difference, names ...string) bool {
	for i := range min(d.at+1, len(d.steps)) {
		if slices.Contains(names, d.steps[i].op.name) {
			return true
		}
	}
	return false
}

// blocksField is st_blocks where metadata are shown.
var blocksField = regexp.MustCompile(` blocks \d+`)

// timesField are the times where metadata are shown, behind the blocks.
var timesField = regexp.MustCompile(` blocks \d+ \S+ \S+`)

// packetInfo is the control message of IP_PKTINFO.
var packetInfo = regexp.MustCompile(`\[0 8: [0-9a-f]+\]`)

// accessField is the time of the last access, before that of the last change.
var accessField = regexp.MustCompile(`(now|\d+\.\d+) (now|\d+\.\d+)`)

// sameBut reports whether both sides are alike but for what re matches.
func sameBut(d *difference, re *regexp.Regexp) bool {
	return re.ReplaceAllString(d.linux, "") == re.ReplaceAllString(d.yolk, "")
}

// hasLongName reports whether an argument of the step is a name that is too long.
func hasLongName(s *step) bool {
	return s != nil && slices.ContainsFunc(s.args, func(v value) bool { return len(v.s) > 255 })
}

// knowns is the list.
var knowns = []known{
	{
		name: "IP_PKTINFO of what came before",
		reason: "a datagram that came before IP_PKTINFO was set is told of as any other; on Linux its interface and local address " +
			"are zeroes",
		match: func(d *difference) bool {
			return isOp(d, "in_receive") && uses(d, "in_setopt") && strings.Contains(d.linux, "[0 8: 0000000000000000") && sameBut(d, packetInfo)
		},
		example: `
			inet s10 udp4
			in_bind s10 lo4:0
			in_send s10 a*0 MSG_DONTWAIT any:0
			in_setopt s10 IP_PKTINFO 1 1
			in_receive s10 0 MSG_DONTWAIT 32`,
	}, {
		name: "a socket that is bound already",
		reason: "bind(2) to another path fails before it makes the name; on Linux it makes it and removes it again, which changes " +
			"the times of the folder",
		match: func(d *difference) bool { return uses(d, "bind") && sameBut(d, timesField) },
		example: `
			socket s0 SOCK_SEQPACKET|SOCK_NONBLOCK
			bind s0 a
			utimes cwd . 0 0 0x0
			bind s0 d`,
	}, {
		name: "a connection to itself",
		reason: "a TCP socket that is connected to its own port (no program means to) delays acknowledgements and so " +
			"what is sent after them, since it seems to answer itself; and it is not closed by its own FIN",
		match: connectsToItself,
		example: `
			inet s0 tcp4
			in_bind s0 lo:2
			in_connect s0 lo:2
			write s0 a*1
			write s0 a*1
			fionread s0`,
	}, {
		name: "datagrams after one in parts",
		reason: "on Linux connect(2) changes where a datagram goes that MSG_MORE has begun, and such a datagram to another " +
			"address changes where a connected socket sends from then on (inet->cork.fl); here an address is what it is",
		match: func(d *difference) bool {
			if are(d, "", "EAFNOSUPPORT") {
				return sentInParts(d)
			}
			return sentInParts(d) && uses(d, "in_connect") && isOp(d, "in_send", "write", "in_receive", "read", "in_shutdown", "in_getopt")
		},
		example: `
			inet s0 udp4
			in_connect s0 lo:3
			in_send s0 a*0 MSG_DONTWAIT|MSG_MORE lo:2
			write s0 a*0
			write s0 a*0`,
	}, {
		name: "from one protocol to the other",
		reason: "a socket of IPv6 that connects over one protocol and then over the other is one of the second afterwards; on Linux a " +
			"UDP socket keeps the address of IPv6 and hears of no ICMP errors, its port is free for the first, and a TCP socket waits for ever",
		match: connectsToBoth,
		example: `
			inet s0 udp6
			in_connect s0 lo:3
			in_connect s0 lo4:3
			in_sockname s0`,
	}, {
		name: "the address of a refused connection over IPv4",
		reason: "a TCP socket of IPv6 whose connection over IPv4 was refused has no address afterwards; on Linux getsockname(2) " +
			"still shows the one that the kernel had chosen",
		match: func(d *difference) bool {
			return isOp(d, "in_sockname") && uses(d, "in_connect") && strings.Contains(d.linux, "ffff7f000001") &&
				(strings.Contains(d.yolk, " 00000000000000000000000000000000 ") || strings.Contains(d.yolk, "ffff00000000"))
		},
		example: `
			inet s19 tcp6
			in_connect s19 any4:3
			in_bind s19 none
			in_sockname s19`,
	}, {
		name:   "splice",
		reason: "splice(2) and tee(2) are refused with EINVAL, as for files that do not have them; callers copy instead",
		match:  func(d *difference) bool { return isOp(d, "splice", "tee") },
		example: `
			pipe s0 s1 O_NONBLOCK
			pipe s2 s3 O_NONBLOCK
			write s1 a*1
			tee s0 s3 1 2`,
	}, {
		name:   "largest file",
		reason: "files of the memory file system end a page before the largest offset, 8 EiB",
		match: func(d *difference) bool {
			_, y := results(d)
			return isOp(d, "truncate", "ftruncate", "pwrite", "write", "copy_file_range") && y == "EFBIG"
		},
		example: `
			s0 = open cwd a O_RDWR|O_CREAT|O_NONBLOCK 0644
			ftruncate s0 9223372036854775807`,
	}, {
		name:   "fallocate sets nothing aside",
		reason: "fallocate(2) in memory checks that there is room and sets none aside: blocks are counted once they are written",
		match: func(d *difference) bool {
			return uses(d, "fallocate") && (sameBut(d, blocksField) || isOp(d, "lseek"))
		},
		example: `
			s0 = open cwd a O_RDWR|O_CREAT|O_NONBLOCK 0644
			fallocate s0 0x0 0 1
			fstat s0`,
	}, {
		name:   "zeroing a range",
		reason: "FALLOC_FL_ZERO_RANGE works in memory, too, where Linux's tmpfs does not have it",
		match: func(d *difference) bool {
			return isOp(d, "fallocate") && are(d, "ENOTSUP", "") || isOp(d, "fallocate") && are(d, "ENOTSUP", "EPERM")
		},
		example: `
			s0 = open cwd a O_RDWR|O_CREAT|O_NONBLOCK 0644
			fallocate s0 FALLOC_FL_ZERO_RANGE 0 1`,
	}, {
		name:   "copies between file systems",
		reason: "copy_file_range(2) copies between file systems, where Linux returns EXDEV and callers copy themselves",
		match:  func(d *difference) bool { return isOp(d, "copy_file_range") && strings.HasPrefix(d.linux, "EXDEV") },
		example: `
			s0 = memfd a MFD_EXEC
			s1 = open cwd a O_RDWR|O_CREAT|O_NONBLOCK 0644
			copy_file_range s0 0 s1 0 1 0`,
	}, {
		name:   "a name that is too long beside another error",
		reason: "a name of more than 255 bytes is an error before the name beside it is looked up",
		match: func(d *difference) bool {
			l, y := results(d)
			return hasLongName(d.step()) && y == "ENAMETOOLONG" && l != "" && l[0] == 'E'
		},
		example: `rename cwd a cwd n*256 0x0`,
	}, {
		name:   "sendfile copies",
		reason: "sendfile(2) copies; on Linux a pipe or a socket gets the file's pages, which are not filled and may still change",
		match: func(d *difference) bool {
			return sentFile(d) && uses(d, "pipe", "socketpair", "socket", "mknod") && !isOp(d, "open", "stat", "close")
		},
		example: `
			pipe s0 s1 O_NONBLOCK
			s2 = open cwd a O_RDWR|O_CREAT|O_NONBLOCK 0644
			ftruncate s2 131072
			sendfile s1 s2 1 70000`,
	}, {
		name:   "RWF_NOWAIT",
		reason: "RWF_NOWAIT is refused for all files, as Linux does for those that cannot tell whether they would wait",
		match: func(d *difference) bool {
			return isOp(d, "preadv2", "pwritev2") && strings.HasPrefix(d.yolk, "ENOTSUP")
		},
		example: `
			pipe s0 s1 O_NONBLOCK
			preadv2 s0 1 1 -1 RWF_NOWAIT`,
	}, {
		name:   "room in unix sockets",
		reason: "the buffer of a unix socket is counted in bytes and a fixed part for each message, on Linux in the memory of its allocator",
		match: func(d *difference) bool {
			return uses(d, "socket", "socketpair") && (withoutRoom(d.linux) == withoutRoom(d.yolk) || sends(d) && (are(d, "", "EAGAIN") || are(d, "EAGAIN", "") || are(d, "", "")))
		},
		example: `
			socketpair s0 s1 SOCK_DGRAM|SOCK_NONBLOCK
			setsockopt s0 SO_SNDBUF 0 4
			write s0 a*0
			write s0 a*0`,
	}, {
		name:   "the end of what was shut down",
		reason: "reading a datagram socket that was shut down finds the end whether it waits or not; Linux says EAGAIN if it does not wait",
		match: func(d *difference) bool {
			return uses(d, "shutdown") && (are(d, "EAGAIN", "0") || strings.Contains(d.linux, "read EAGAIN") && strings.Contains(d.yolk, "read 0") || isOp(d, "accept") && are(d, "EAGAIN", "EINVAL"))
		},
		example: `
			socket s0 SOCK_DGRAM|SOCK_NONBLOCK
			shutdown s0 0
			read s0 1`,
	}, {
		name:   "an edge without a change",
		reason: "a send to a socket that fails is no event for edge-triggered epoll; on Linux the memory that it has given back is one",
		match: func(d *difference) bool {
			return uses(d, "epoll_ctl") && uses(d, "socket", "socketpair") &&
				(isOp(d, "sendto", "sendrights", "write") && withoutPoll(d.linux) == withoutPoll(d.yolk) || isOp(d, "epoll_wait", "sendfile", "writev") && sent(d))
		},
		example: `
			s0 = epoll_create 0x0
			socketpair s2 s5 SOCK_DGRAM|SOCK_NONBLOCK
			epoll_ctl s0 ADD s2 OUT|ET
			epoll_wait s0 1
			sendto s2 a*0 MSG_DONTWAIT a`,
	}, {
		name:   "an error behind data",
		reason: "an error that ends MSG_WAITALL is still there for the next call; Linux has forgotten it",
		match: func(d *difference) bool {
			s := d.step()
			return isOp(d, "recvmsg", "recvfrom") && hasFlag(s, unix.MSG_WAITALL) && withoutPoll(d.linux) == withoutPoll(d.yolk)
		},
		example: `
			socketpair s0 s1 SOCK_STREAM|SOCK_NONBLOCK
			write s0 a*1
			write s1 a*1
			close s1
			recvmsg s2 s0 2 MSG_WAITALL|MSG_DONTWAIT 0`,
	}, {
		name:   "credentials at the end",
		reason: "the end of a stream comes without credentials, and without a sign that there was no room for them",
		match: func(d *difference) bool {
			return isOp(d, "recvmsg") && uses(d, "setsockopt") && strings.HasPrefix(d.linux, `0 "" from 0 flags `) && strings.HasPrefix(d.yolk, `0 "" from 0 flags `) && strings.Contains(d.yolk, "control 0")
		},
		example: `
			socketpair s0 s1 SOCK_STREAM|SOCK_NONBLOCK
			setsockopt s0 SO_PASSCRED 1 4
			close s1
			recvmsg s2 s0 0 MSG_DONTWAIT 0`,
	}, {
		name:   "receiving nothing",
		reason: "a receive of no bytes, or one that peeks, has what comes with the messages that it has looked at",
		match: func(d *difference) bool {
			return isOp(d, "recvmsg") && (d.step().args[2].n == 0 || hasFlag(d.step(), unix.MSG_PEEK) && uses(d, "sendrights"))
		},
		example: `
			s0 = epoll_create 0x0
			socketpair s1 s2 SOCK_STREAM|SOCK_NONBLOCK
			write s2 a*1
			sendrights s2 a*1 MSG_DONTWAIT s0 1
			recvmsg s3 s1 0 MSG_PEEK|MSG_DONTWAIT 0`,
	}, {
		name:   "entries that come later",
		reason: "reading a directory on at its end finds what was made since; readdir(3) leaves that open",
		match: func(d *difference) bool {
			return isOp(d, "getdents") && (strings.HasPrefix(d.linux, "0") || strings.HasPrefix(d.linux, "some: false"))
		},
		example: `
			s0 = open cwd . O_NONBLOCK 0
			getdents s0 8192
			s1 = open cwd a O_CREAT|O_NONBLOCK 0644
			getdents s0 8192`,
	}, {
		name:   "attributes of sockets",
		reason: "sockets and other files without a name have no extended attributes, where Linux has other errors than EOPNOTSUPP",
		match: func(d *difference) bool {
			return isOp(d, "fsetxattr", "fgetxattr", "fremovexattr") && strings.HasPrefix(d.yolk, "ENOTSUP")
		},
		onDisk: true,
		example: `
			socketpair s0 s1 SOCK_STREAM|SOCK_NONBLOCK
			fgetxattr s0 user.a 0`,
	}, {
		name:   "reading nothing from a disk",
		reason: "a read of no bytes is no access to a file on ext4, as on Linux; the tree on the Linux side is a tmpfs, where it is one",
		match: func(d *difference) bool {
			return d.onDisk && uses(d, "read", "pread", "sendfile") && accessField.ReplaceAllString(d.linux, "$2") == accessField.ReplaceAllString(d.yolk, "$2")
		},
		onDisk: true,
		example: `
			s0 = open cwd a O_CREAT|O_NONBLOCK 0644
			utimes cwd a 0 0 0x0
			read s0 0
			fstat s0`,
	}, {
		name:   "which of two errors",
		reason: "a call that is wrong in two ways has one of the two errors",
		match: func(d *difference) bool {
			l, y := results(d)
			return isOp(d, "bind", "sendrights", "sendto", "connect") && slices.Contains(twoErrors, l+" "+y)
		},
		example: `
			socketpair s0 s1 SOCK_STREAM|SOCK_NONBLOCK
			bind s0 -
			bind s0 d/a`,
	}, {
		name:   "nothing to transfer",
		reason: "reading or writing no bytes succeeds on files that cannot be read or written, where Linux says EINVAL",
		match: func(d *difference) bool {
			return isOp(d, "readv", "writev", "preadv2", "pwritev2") && are(d, "EINVAL", "0")
		},
		example: `
			s0 = timerfd 0 O_NONBLOCK
			writev s0 0 a*0`,
	},
}

// twoErrors are pairs of errors of Linux and of yolk.
var twoErrors = []string{"EADDRINUSE EINVAL", "ENOENT EINVAL", "ENOTDIR EINVAL", "ELOOP EINVAL", "ENOTCONN EBADF", "ECONNRESET EBADF", "ECONNRESET EMSGSIZE"}

// sends reports whether the difference shows at a call that sends.
func sends(d *difference) bool {
	return isOp(d, "write", "writev", "sendto", "sendrights", "sendfile")
}

// sent reports whether Linux has found one event more, and something was sent before.
func sent(d *difference) bool {
	l, y := results(d)
	nl, _ := strconv.Atoi(l)
	ny, _ := strconv.Atoi(y)
	return (nl > ny || withoutPoll(d.linux) == withoutPoll(d.yolk)) && uses(d, "sendto", "sendrights", "write")
}

// pollField is what poll(2) has said, behind the results.
var pollField = regexp.MustCompile(`s\d+:[0-9a-f]+`)

// withoutPoll leaves out what poll(2) has said.
func withoutPoll(shown string) string { return pollField.ReplaceAllString(shown, "") }

// withoutRoom leaves POLLOUT out of what poll(2) has said.
func withoutRoom(shown string) string {
	return pollField.ReplaceAllStringFunc(shown, func(f string) string {
		slot, bits, _ := strings.Cut(f, ":")
		n, _ := strconv.ParseUint(bits, 16, 32)
		return slot + ":" + strconv.FormatUint(n&^unix.POLLOUT, 16)
	})
}

// hasFlag reports whether an argument of flags has one.
func hasFlag(s *step, flag int64) bool {
	for i, k := range s.op.args {
		if k == recvFlags && s.args[i].n&flag != 0 {
			return true
		}
	}
	return false
}

// sentFile reports whether a sendfile before the difference has sent anything.
func sentFile(d *difference) bool {
	for i := range min(d.at+1, len(d.steps)) {
		if s := &d.steps[i]; s.op.name == "sendfile" && s.args[3].n > 0 {
			return true
		}
	}
	return false
}

// connectsToItself reports whether a socket connects to a port that it was bound to. All descriptors
// count as one where some may share a socket.
func connectsToItself(d *difference) bool {
	type name struct {
		slot int64
		port string
	}
	bound := map[name]bool{}
	for i := range min(d.at+1, len(d.steps)) {
		s := &d.steps[i]
		if s.op.name != "in_bind" && s.op.name != "in_connect" {
			continue
		}
		_, port, _ := strings.Cut(s.args[1].s, ":")
		n := name{s.args[0].n, port}
		if mayShare(d) {
			n.slot = -1
		}
		if s.op.name == "in_bind" {
			bound[n] = true
		} else if bound[n] && port != "" {
			return true
		}
	}
	return false
}

// mayShare reports whether two slots of the sequence may have one descriptor, or descriptors of one socket.
func mayShare(d *difference) bool { return uses(d, "dup", "dupfd", "dup3", "close") }

// sentInParts reports whether the sequence has a send with MSG_MORE.
func sentInParts(d *difference) bool {
	for i := range min(d.at+1, len(d.steps)) {
		if s := &d.steps[i]; s.op.name == "in_send" && s.args[2].n&unix.MSG_MORE != 0 {
			return true
		}
	}
	return false
}

// connectsToBoth reports whether a socket of IPv6 connects over both protocols, or the sequence binds to
// a port of one that was connected over IPv4. All descriptors count as one where some may share a socket.
func connectsToBoth(d *difference) bool {
	fourOnly := map[int64]bool{}
	over := map[int64]int{}
	for i := range min(d.at+1, len(d.steps)) {
		s := &d.steps[i]
		if len(s.args) == 0 || s.op.name != "inet" && s.op.name != "in_connect" {
			continue
		}
		if s.op.name == "inet" {
			fourOnly[s.args[0].n] = s.args[1].n&2 == 0
			continue
		}
		slot := s.args[0].n
		if mayShare(d) {
			slot = -1
		} else if fourOnly[slot] {
			continue
		}
		switch host, _, _ := strings.Cut(s.args[1].s, ":"); host {
		case "lo4", "any4":
			over[slot] |= 4
		case "lo", "any":
			over[slot] |= 6
		}
	}
	for _, protocols := range over {
		if protocols == 4|6 || protocols&4 != 0 && isOp(d, "in_bind") && are(d, "", "EADDRINUSE") {
			return true
		}
	}
	return false
}
