package kernel

import "syscall"

// File is the object of an open file description: a regular file, a directory, a device, one
// end of a pipe, a socket. Its methods never block. A call that would block returns EAGAIN,
// and the descriptor layer waits on the Queue and tries again (or returns EAGAIN to the
// program if O_NONBLOCK is set).
//
// A method must not keep p, or anything that p points to, after it returns: p
// may lie on the caller's stack.
type File interface {
	// Read fills p from offset off and returns how much it read; 0 without an error is the
	// end of the file. Files without a position ignore off.
	Read(p []byte, off int64) (int, syscall.Errno)
	// Write writes bytes from p at offset off and returns how many.
	Write(p []byte, off int64) (int, syscall.Errno)
	// Readiness returns the events that are true now.
	Readiness() Events
	// Queue returns the queue that is notified when Readiness may have gained bits; nil
	// means that the file is always ready, and epoll_ctl(2) then returns EPERM.
	Queue() *WaitQueue
	// Stat fills st as fstat(2) does.
	Stat(st *syscall.Stat_t) syscall.Errno
	// Release is called once, when the last descriptor is closed.
	Release()
}

// Ioctler is a File with ioctl(2) requests of its own.
type Ioctler interface {
	Ioctl(req uintptr, a Args) (uintptr, syscall.Errno)
}

// Records is a File that gives one record with each read and takes one with each write: the buffers
// of readv(2) and writev(2) are one.
type Records interface {
	File
	Records()
}

// Socket is a File with the operations of socket(2). Addresses are raw
// sockaddr bytes. Connect and Accept do not block: EINPROGRESS and EAGAIN.
type Socket interface {
	File
	Bind(addr []byte) syscall.Errno
	Connect(addr []byte) syscall.Errno
	Listen(backlog int) syscall.Errno
	Accept() (Socket, syscall.Errno)
	Shutdown(how int) syscall.Errno
	// LocalAddr and PeerAddr write a sockaddr to dst (at least 128 bytes, as
	// sockaddr_storage) and return its length.
	LocalAddr(dst []byte) (int, syscall.Errno)
	PeerAddr(dst []byte) (int, syscall.Errno)
	SetOption(level, name int, val []byte) syscall.Errno
	GetOption(level, name int, dst []byte) (int, syscall.Errno)
	// Send sends one message (or bytes of a stream) from m.
	Send(m *Message, flags int) (int, syscall.Errno)
	// Receive fills m and returns how many bytes it placed in m.Buffers (the
	// real length of a datagram with MSG_TRUNC).
	Receive(m *Message, flags int) (int, syscall.Errno)
}

// Accepted is a Socket from Accept whose peer's address accept(2) tells also if the connection has ended.
type Accepted interface {
	// AcceptedAddr writes a sockaddr to dst and returns its length.
	AcceptedAddr(dst []byte) int
}

// Message is a message of sendmsg(2) and recvmsg(2). The socket must not keep any of its
// slices.
type Message struct {
	Buffers [][]byte
	// Addr is the destination on Send (nil if the socket is connected). On Receive it is a
	// buffer of at least 128 bytes (or nil), of which the socket uses AddrLen bytes.
	Addr    []byte
	AddrLen int
	// Control has control messages (cmsg(3)): those to send or, on Receive, a buffer of
	// which the socket fills ControlLen bytes.
	Control    []byte
	ControlLen int
	// Flags are the msg_flags of a receive (MSG_TRUNC, MSG_CTRUNC, MSG_EOR).
	Flags int
	// Rights are open files passed with SCM_RIGHTS. The descriptor layer translates them
	// from and to numbers; only unix sockets use them. Each is a reference: a socket that
	// drops one calls DecRef.
	Rights []*Description
}

// SocketFactory makes a socket of one address family; typ comes without
// SOCK_NONBLOCK and SOCK_CLOEXEC.
type SocketFactory func(typ, protocol int) (Socket, syscall.Errno)

// PairFactory makes two connected sockets (socketpair(2)).
type PairFactory func(typ, protocol int) (Socket, Socket, syscall.Errno)
