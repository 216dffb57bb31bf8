package kernel

import (
	"syscall"
)

// This file has sendmsg(2), recvmsg(2) and the calls like them.
//
// A Message and its list of buffers are local variables here, hidden from escape analysis:
// the buffers may lie on the caller's stack, so nothing on the heap may point to them.

const (
	// inlineBuffers is how many buffers fit into a Message's own array. A longer list is
	// copied into one buffer on the heap.
	inlineBuffers = 8
	// maxGather bounds the buffer for a long list on a stream, in bytes: a program may pass
	// the same megabyte 1024 times, and the sum may be more than the RAM.
	maxGather = 256 << 10
	// maxDatagram bounds the buffer for a long list in a message, in bytes: it is more than
	// any socket's buffer.
	maxDatagram = 16 << 20
)

const (
	msgWaitForOne  = 0x10000
	msgCmsgCloexec = 0x40000000
)

// gather sets bufs from the buffers of h and returns their number, which is more than
// len(bufs) if they do not fit. total is their length in any case.
func gather(h *msghdr, bufs *[inlineBuffers][]byte) (n int, total uint64, e syscall.Errno) {
	if h.iovLen > iovMax {
		return 0, 0, syscall.EMSGSIZE
	}
	if h.iovLen == 0 {
		return 0, 0, 0
	}
	v, e := h.vectors(int(h.iovLen))
	if e != 0 {
		return 0, 0, e
	}
	for i := range v {
		p, e := bytesAt(v[i].base, v[i].len)
		if e != 0 {
			return 0, 0, e
		}
		if total += uint64(len(p)); total > maxRW {
			return 0, 0, syscall.EINVAL
		}
		if i < inlineBuffers {
			bufs[i] = p
		}
	}
	return len(v), total, 0
}

// eachBuffer calls f for the buffers of h, which gather has checked.
func eachBuffer(h *msghdr, f func(p []byte) bool) {
	v, _ := h.vectors(int(h.iovLen))
	for i := range v {
		if p, e := bytesAt(v[i].base, v[i].len); e != 0 || !f(p) {
			return
		}
	}
}

// sendMessage is sendmsg(2).
func (k *Kernel) sendMessage(d *Description, s Socket, h *msghdr, flags int) (uintptr, syscall.Errno) {
	var bufs [inlineBuffers][]byte
	var m Message
	n, total, e := gather(h, &bufs)
	if e != 0 {
		return 0, e
	}
	var rest vectorReader
	if n > inlineBuffers {
		rest.v, _ = h.vectors(n)
		if bufs[0], e = rest.gather(s, total); e != 0 {
			return 0, e
		}
		n, total = 1, uint64(len(bufs[0]))
	}
	m.Buffers = bufs[:n]
	if h.name != nil && h.nameLen > 0 {
		if h.nameLen > maxSockaddr {
			return 0, syscall.EINVAL
		}
		if m.Addr, e = bytesAt(h.name, uint64(h.nameLen)); e != 0 {
			return 0, e
		}
	}
	if h.control != nil && h.controlLen > 0 {
		if h.controlLen > 1<<20 {
			return 0, syscall.ENOBUFS
		}
		c, e := bytesAt(h.control, h.controlLen)
		if e != 0 {
			return 0, e
		}
		if m.Control, m.Rights, e = k.takeRights(c); e != 0 {
			return 0, e
		}
	}
	sent, e := sendAll(d, s, noescape(&m), int(total), flags)
	if e != 0 || sent < uintptr(total) {
		return sent, e
	}
	for chunk := bufs[0]; len(rest.v) > 0; {
		bufs[0] = chunk[:rest.read(chunk)]
		m = Message{Buffers: bufs[:1]}
		n, e := sendAll(d, s, noescape(&m), len(bufs[0]), flags)
		if sent += n; e != 0 || n < uintptr(len(chunk)) {
			break
		}
	}
	return sent, 0
}

// A vectorReader copies from a list of buffers.
type vectorReader struct {
	v   []iovec
	off uint64 // in v[0]
}

// read fills p, as far as there are bytes left.
func (r *vectorReader) read(p []byte) int {
	done := 0
	for len(r.v) > 0 && done < len(p) {
		b, e := bytesAt(r.v[0].base, r.v[0].len)
		if e != 0 { // gather has checked: the program has changed it meanwhile
			r.v = nil
			break
		}
		n := copy(p[done:], b[min(r.off, uint64(len(b))):])
		done += n
		if r.off += uint64(n); r.off >= uint64(len(b)) {
			r.v, r.off = r.v[1:], 0
		}
	}
	return done
}

// gather returns the bytes for the first message to s: a part for a stream, everything for
// any other socket.
func (r *vectorReader) gather(s Socket, total uint64) ([]byte, syscall.Errno) {
	if isStream(s) {
		total = min(total, maxGather)
	} else if total > maxDatagram {
		return nil, syscall.EMSGSIZE
	}
	p := make([]byte, total)
	return p[:r.read(p)], 0
}

// sendAll sends m and, unless it must not block, waits until all of it is sent. It closes
// descriptors that the socket does not pass on.
func sendAll(d *Description, s Socket, m *Message, total, flags int) (uintptr, syscall.Errno) {
	block := flags&syscall.MSG_DONTWAIT == 0 && !d.nonblocking()
	n, e := s.Send(m, flags)
	if e == 0 && n < total && block || e == syscall.EAGAIN && block {
		n, e = sendRest(d, s, m, max(n, 0), total, flags)
	}
	for _, r := range m.Rights {
		r.DecRef()
	}
	m.Rights = nil
	if e != 0 {
		return 0, e
	}
	return uintptr(n), 0
}

// sendRest continues after done bytes of total were sent.
func sendRest(d *Description, s Socket, m *Message, done, total, flags int) (int, syscall.Errno) {
	w := newSleeper(d.k, s.Queue(), d.sendTimeout.Load())
	defer w.done()
	advance(m, done)
	for {
		n, e := s.Send(m, flags)
		if e == 0 {
			done += n
			if advance(m, n); done >= total {
				return done, 0
			}
		}
		if e == syscall.EAGAIN && w.sleep() {
			continue
		}
		if e != 0 && done == 0 {
			return 0, e
		}
		if e != 0 {
			return done, 0
		}
	}
}

// advance drops the n bytes that were transferred, and the control messages, which were sent
// with the first byte.
func advance(m *Message, n int) {
	if n > 0 {
		m.Control = nil
	}
	for n > 0 && len(m.Buffers) > 0 {
		if n < len(m.Buffers[0]) {
			m.Buffers[0] = m.Buffers[0][n:]
			return
		}
		n -= len(m.Buffers[0])
		m.Buffers = m.Buffers[1:]
	}
}

// receiveMessage is recvmsg(2): it fills h and what it points to.
func (k *Kernel) receiveMessage(d *Description, s Socket, h *msghdr, flags int) (uintptr, syscall.Errno) {
	var bufs [inlineBuffers][]byte
	var addr [maxSockaddr]byte
	var m Message
	n, total, e := gather(h, &bufs)
	if e != 0 {
		return 0, e
	}
	var all []byte
	if n > inlineBuffers {
		switch {
		case !isStream(s):
			total = min(total, maxDatagram)
		case flags&syscall.MSG_WAITALL == 0:
			total = min(total, maxGather)
		}
		all = make([]byte, total)
		bufs[0], n = all, 1
	}
	m.Buffers = bufs[:n]
	if h.name != nil {
		m.Addr = noescape(&addr)[:]
	}
	if h.control != nil {
		if m.Control, e = bytesAt(h.control, min(h.controlLen, 1<<20)); e != 0 {
			return 0, e
		}
	}
	got, e := receive(d, s, noescape(&m), int(total), flags)
	if e != 0 {
		return 0, e
	}
	if all != nil {
		rest := all[:min(got, len(all))]
		eachBuffer(h, func(p []byte) bool { rest = rest[copy(p, rest):]; return len(rest) > 0 })
	}
	if len(m.Rights) > 0 {
		k.giveRights(&m, flags&msgCmsgCloexec != 0)
	}
	if h.name != nil {
		dst, e := bytesAt(h.name, uint64(min(int(h.nameLen), m.AddrLen)))
		if e != 0 {
			return 0, e
		}
		copy(dst, addr[:])
	}
	h.nameLen = uint32(m.AddrLen)
	h.controlLen = uint64(m.ControlLen)
	// The flag is returned, as by ____sys_recvmsg in Linux's net/socket.c.
	h.flags = int32(m.Flags | flags&msgCmsgCloexec)
	return uintptr(got), 0
}

// receive waits for a message unless it must not block; with MSG_WAITALL on a stream, until
// the buffers are full, and with SO_RCVLOWAT until as much is there.
func receive(d *Description, s Socket, m *Message, total, flags int) (int, syscall.Errno) {
	block := flags&(syscall.MSG_DONTWAIT|syscall.MSG_OOB) == 0 && !d.nonblocking() && (flags&syscall.MSG_ERRQUEUE == 0 || !hasErrorQueue(s))
	n, e := s.Receive(m, flags)
	low := int(d.lowWater.Load())
	if !block || e != syscall.EAGAIN && (e != 0 || flags&syscall.MSG_WAITALL == 0 && n >= low) {
		return n, e
	}
	w := newSleeper(d.k, s.Queue(), d.receiveTimeout.Load())
	defer w.done()
	for e == syscall.EAGAIN {
		ended := d.ended()
		if d.mayReceive() {
			n, e = s.Receive(m, flags)
		}
		if e == syscall.EAGAIN && ended {
			return 0, 0
		}
		if e == syscall.EAGAIN && !w.sleep() {
			if low == 0 {
				return 0, e
			}
			if n, e = s.Receive(m, flags); e != 0 { // less is better than nothing now
				return 0, e
			}
		}
	}
	want := total
	if flags&syscall.MSG_WAITALL == 0 {
		want = min(low, total)
	}
	if e != 0 || n >= want || flags&syscall.MSG_PEEK != 0 || n == 0 || len(m.Rights) > 0 || !isStream(s) {
		return n, e
	}
	for advance(m, n); n < want && !atMark(s); {
		more, e := s.Receive(m, flags)
		if e == syscall.EAGAIN && w.sleep() {
			continue
		}
		if e != 0 || more == 0 {
			break
		}
		advance(m, more)
		n += more
	}
	return n, 0
}

// atMark reports whether the next byte of a stream is an urgent one, before which a receive ends (tcp(7)).
func atMark(s Socket) bool {
	m, ok := s.(interface{ AtMark() bool })
	return ok && m.AtMark()
}

// hasErrorQueue reports whether MSG_ERRQUEUE means something to a socket, which then never waits
// (ip_recv_error in Linux's net/ipv4/ip_sockglue.c). Those of other families ignore it.
func hasErrorQueue(s Socket) bool {
	domain := socketInt(s, soDomain)
	return domain == syscall.AF_INET || domain == syscall.AF_INET6
}

func isStream(s Socket) bool { return socketInt(s, syscall.SO_TYPE) == syscall.SOCK_STREAM }

// sysSendto is sendto(2).
func sysSendto(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	v := iovec{base: a.Pointer(1), len: uint64(a.N[2])}
	h := msghdr{name: a.Pointer(4), nameLen: uint32(a.N[5]), iov: &v, iovLen: 1}
	n, e := k.sendMessage(d, s, &h, a.Int(3))
	d.DecRef()
	return n, e
}

// sysRecvfrom is recvfrom(2).
func sysRecvfrom(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	v := iovec{base: a.Pointer(1), len: uint64(a.N[2])}
	h := msghdr{name: a.Pointer(4), iov: &v, iovLen: 1}
	size := optional[int32](&a, 5)
	if h.name != nil && size != nil {
		if *size < 0 {
			return 0, syscall.EINVAL
		}
		h.nameLen = uint32(*size)
	}
	n, e := k.receiveMessage(d, s, &h, a.Int(3))
	if e == 0 && h.name != nil && size != nil {
		*size = int32(h.nameLen)
	}
	return n, e
}

// sysSendmsg is sendmsg(2).
func sysSendmsg(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	h, e := user[msghdr](&a, 1)
	if e != 0 {
		return 0, e
	}
	return k.sendMessage(d, s, h, a.Int(2))
}

// sysRecvmsg is recvmsg(2).
func sysRecvmsg(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	h, e := user[msghdr](&a, 1)
	if e != 0 {
		return 0, e
	}
	return k.receiveMessage(d, s, h, a.Int(2))
}

// sysSendmmsg is sendmmsg(2).
func sysSendmmsg(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.manyMessages(&a, func(d *Description, s Socket, h *msghdr, _ int) (uintptr, syscall.Errno) {
		return k.sendMessage(d, s, h, a.Int(3))
	})
}

// sysRecvmmsg is recvmmsg(2): it waits for each message, with MSG_WAITFORONE only for the first. As
// on Linux the timeout is looked at after each message, and so does not end a wait.
func sysRecvmmsg(k *Kernel, a Args) (uintptr, syscall.Errno) {
	limit := optional[syscall.Timespec](&a, 4)
	if limit != nil && (limit.Sec < 0 || limit.Nsec < 0 || limit.Nsec >= 1e9) {
		return 0, syscall.EINVAL
	}
	var end int64
	if limit != nil {
		end = k.m.Nanotime() + min(limit.Sec, 1<<33)*1e9 + limit.Nsec
	}
	flags := a.Int(3) &^ msgWaitForOne
	return k.manyMessages(&a, func(d *Description, s Socket, h *msghdr, i int) (uintptr, syscall.Errno) {
		if limit != nil && i > 0 && k.timeIsUp(limit, end) {
			return 0, syscall.EAGAIN
		}
		if i > 0 && a.Int(3)&msgWaitForOne != 0 {
			return k.receiveMessage(d, s, h, flags|syscall.MSG_DONTWAIT)
		}
		return k.receiveMessage(d, s, h, flags)
	})
}

// timeIsUp stores what is left until end, and reports whether nothing is.
func (k *Kernel) timeIsUp(limit *syscall.Timespec, end int64) bool {
	left := max(end-k.m.Nanotime(), 0)
	*limit = syscall.Timespec{Sec: left / 1e9, Nsec: left % 1e9}
	return left == 0
}

// manyMessages applies op to the messages of arguments 1 and 2.
func (k *Kernel) manyMessages(a *Args, op func(*Description, Socket, *msghdr, int) (uintptr, syscall.Errno)) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	list, e := userSlice[mmsghdr](a, 1, min(int(uint32(a.N[2])), iovMax))
	if e != 0 {
		return 0, e
	}
	for i := range list {
		n, e := op(d, s, &list[i].hdr, i)
		if e != 0 {
			if i > 0 {
				return uintptr(i), 0
			}
			return 0, e
		}
		list[i].len = uint32(n)
	}
	return uintptr(len(list)), 0
}
