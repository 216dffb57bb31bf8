package netstack

import (
	"maps"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file has what a TCP socket of Linux remembers beside the state of its connection, and how
// it begins anew: a connection that failed, a listener that is shut down and a socket that is
// disconnected are CLOSED again, and can be used again (inet_stream_connect, inet_shutdown and
// tcp_disconnect in Linux's net/ipv4). A gVisor endpoint cannot, so the socket gets another one.

// streamState is the part of Linux's struct socket that a program notices.
type streamState struct {
	// phase is where connect(2) stands: Linux's SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED and
	// SS_DISCONNECTING.
	phase atomic.Int32
	// pending is an error that the program has not seen, beside the endpoint's: Linux's sk_err.
	pending atomic.Int32
	// formerPort is the port of the connection or the listener before the socket was CLOSED:
	// tcp_set_state gives it back, and leaves inet_sport.
	formerPort atomic.Uint32
	// reported: the program has seen the error that has ended the connection.
	reported atomic.Bool
}

// Phases.
const (
	unconnected = iota
	connecting
	connected
	disconnecting // shut down before connect(2) has told how it went
)

// Bits of socket.shut.
const (
	shutRead  = 1
	shutWrite = 2
)

// failed notes that e was reported, which ends a connection, and returns it.
func (k *streamSocket) failed(e syscall.Errno) syscall.Errno {
	if e != syscall.EAGAIN && e != 0 {
		switch tcp.EndpointState(k.ep().State()) {
		case tcp.StateError, tcp.StateClose:
			k.reported.Store(true)
		}
	}
	return e
}

// unconnectedEvents are those of a socket without a connection.
func (k *streamSocket) unconnectedEvents() kernel.Events {
	if k.pending.Load() != 0 {
		return kernel.EventErr | k.shutEvents()
	}
	return k.shutEvents()
}

// shutEvents are those of shutdown(2), whatever the state of the connection.
func (k *streamSocket) shutEvents() kernel.Events {
	switch k.shut.Load() {
	case shutRead:
		return kernel.EventIn | kernel.EventRdHup
	case shutRead | shutWrite:
		return kernel.EventIn | kernel.EventRdHup | kernel.EventHup
	}
	return 0
}

// GetOption implements kernel.Socket. SO_ERROR has one more source, and is reported once.
func (k *streamSocket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	if level == syscall.SOL_SOCKET && name == syscall.SO_ERROR {
		return putInt(dst, int(k.takeError()))
	}
	return k.socket.GetOption(level, name, dst)
}

func (k *streamSocket) takeError() syscall.Errno {
	if e := k.pending.Swap(0); e != 0 {
		return syscall.Errno(e)
	}
	if k.reported.Load() {
		return 0
	}
	return k.failed(k.lastError())
}

// Connect implements kernel.Socket.
func (k *streamSocket) Connect(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC {
		return k.disconnect()
	}
	switch k.phase.Load() {
	case connected:
		return syscall.EISCONN
	case connecting:
		return k.connectAgain()
	case disconnecting:
		return syscall.EINVAL
	}
	if tcp.EndpointState(k.ep().State()) == tcp.StateListen {
		return syscall.EISCONN
	}
	a, e := decodeSockaddr(k.family, addr)
	if e != 0 {
		return e
	}
	if a, e = k.inFamily(a); e != 0 {
		return e
	}
	if e := k.reachable(a); e != 0 {
		return e
	}
	if e := k.completeBind(); e != 0 {
		return e
	}
	if a.NIC == 0 {
		a.NIC = tcpip.NICID(k.unicastNIC.Load())
	}
	e = errnoOf(k.ep().Connect(a))
	if e == syscall.EINPROGRESS {
		k.pending.Store(0)
		k.reported.Store(false)
		k.phase.Store(connecting)
	}
	return e
}

// connectAgain tells what became of a connection that was begun. One that has failed leaves a
// socket that can connect again.
func (k *streamSocket) connectAgain() syscall.Errno {
	switch s := tcp.EndpointState(k.ep().State()); s {
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return syscall.EALREADY
	case tcp.StateError, tcp.StateClose, tcp.StateInitial, tcp.StateBound:
		e := k.takeError()
		if e == 0 {
			e = syscall.ECONNABORTED
		}
		if s == tcp.StateInitial || s == tcp.StateBound { // bound again meanwhile
			k.phase.Store(unconnected)
			k.shut.Store(0)
		} else if renewed := k.renew(); renewed != 0 {
			return renewed
		}
		k.queue.Notify(kernel.EventErr) // as tcp_disconnect in Linux's net/ipv4/tcp.c
		return e
	}
	k.phase.Store(connected)
	return 0
}

// disconnect is connect(2) with AF_UNSPEC: a connection is reset.
func (k *streamSocket) disconnect() syscall.Errno {
	state := tcp.EndpointState(k.ep().State())
	if k.phase.Load() == unconnected && (state == tcp.StateInitial || state == tcp.StateBound) {
		k.shut.Store(0)
		k.queue.Notify(allEvents)
		return 0
	}
	left := k.takeError() // of a connection that has failed already
	if needsReset(state) {
		left = syscall.ECONNRESET
	}
	k.ep().Abort()
	if e := k.renew(); e != 0 {
		return e
	}
	k.pending.Store(int32(left))
	k.queue.Notify(allEvents)
	return 0
}

// needsReset reports whether a peer has to hear that a connection ends: tcp_need_reset in Linux's
// net/ipv4/tcp.c, and SYN_SENT, whose program hears of it like of theirs.
func needsReset(s tcp.EndpointState) bool {
	switch s {
	case tcp.StateSynSent, tcp.StateSynRecv, tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait1, tcp.StateFinWait2:
		return true
	}
	return false
}

// Bind implements kernel.Socket. A connection that has failed has left its port, and the socket can be
// bound again before the program has seen the error.
func (k *streamSocket) Bind(addr []byte) syscall.Errno {
	given := k.given.Load()
	if s := tcp.EndpointState(k.ep().State()); (s == tcp.StateError || s == tcp.StateClose) && (given == nil || given.Port == 0) {
		left, phase := k.takeError(), k.phase.Load()
		if e := k.renew(); e != 0 {
			return e
		}
		k.pending.Store(int32(left))
		k.phase.Store(phase)
		k.shut.Store(shutRead | shutWrite)
		k.dropLate()
	}
	e := k.socket.Bind(addr)
	if e == 0 {
		k.formerPort.Store(0)
	}
	return e
}

// dropLate forgets an address that waits for a port, since another one is given.
func (k *streamSocket) dropLate() {
	k.late.Store(nil)
	k.setFeature(bindPending, 0)
}

// renew gives the socket another endpoint with the same options, bound to what bind(2) has asked
// for: the address remains, the port only if the program has chosen it.
func (k *streamSocket) renew() syscall.Errno {
	net, e := networkOf(k.family)
	if e != 0 {
		return e
	}
	wq := new(waiter.Queue)
	ep, err := k.stack.stack.NewEndpoint(tcp.ProtocolNumber, net, wq)
	if err != nil {
		return errnoOf(err)
	}
	old := k.current.Load()
	copyEndpointOptions(ep, old.Endpoint)
	if a, err := old.GetLocalAddress(); err == nil && a.Port != 0 {
		k.formerPort.Store(uint32(a.Port))
	}
	old.wq.EventUnregister(&old.entry)
	old.Close()
	k.attach(ep, wq)
	if low := k.notSent.Load(); low != 0 {
		k.setNotSent(int(low))
	}
	k.phase.Store(unconnected)
	k.pending.Store(0)
	k.reported.Store(false)
	k.shut.Store(0)
	k.peer = tcpip.FullAddress{}
	given := k.given.Load()
	switch {
	case given == nil:
	case given.Port == 0:
		k.late.Store(given)
		k.setFeature(bindPending, 1)
	default:
		return errnoOf(ep.Bind(*given))
	}
	return 0
}

// Shutdown implements kernel.Socket.
func (k *streamSocket) Shutdown(how int) syscall.Errno {
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return syscall.EINVAL
	}
	state := tcp.EndpointState(k.ep().State())
	if k.phase.Load() == connecting {
		k.phase.Store(phaseOf(state))
	}
	switch state {
	case tcp.StateListen:
		if how == syscall.SHUT_WR {
			return 0
		}
		left := k.pending.Load()
		e := k.renew()
		k.pending.Store(left)
		k.queue.Notify(allEvents)
		return e
	case tcp.StateSynSent, tcp.StateConnecting:
		return k.disconnect()
	case tcp.StateInitial, tcp.StateBound:
		k.noteShutdown(how) // which a connection that is made later finds
		k.queue.Notify(allEvents)
		return syscall.ENOTCONN
	}
	flags, _ := k.noteShutdown(how)
	e := errnoOf(k.ep().Shutdown(flags))
	k.queue.Notify(kernel.EventIn | kernel.EventHup | kernel.EventRdHup)
	return e
}

// phaseOf returns the phase of a socket that is shut down while connect(2) has not told how it went.
func phaseOf(s tcp.EndpointState) int32 {
	switch s {
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv, tcp.StateError, tcp.StateClose, tcp.StateInitial, tcp.StateBound:
		return disconnecting
	}
	return connected
}

// Listen implements kernel.Socket.
func (k *streamSocket) Listen(backlog int) syscall.Errno {
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
	}
	if k.phase.Load() != unconnected {
		return syscall.EINVAL
	}
	if e := k.completeBind(); e != 0 {
		return e
	}
	if k.ep().SocketOptions().GetReuseAddress() && k.listensToo() {
		return syscall.EADDRINUSE
	}
	k.backlog.Store(int32(backlog))
	// Linux queues one more connection than the backlog.
	return errnoOf(k.ep().Listen(backlog + 1))
}

// listensToo reports whether another socket listens at an address that overlaps with that of this one.
// SO_REUSEADDR lets both be bound, but only one listen (inet_csk_listen_start asks for the port again).
func (k *streamSocket) listensToo() bool {
	own, err := k.ep().GetLocalAddress()
	if err != nil || own.Port == 0 {
		return false
	}
	so := k.ep().SocketOptions()
	for _, o := range append(k.stack.socks.all(syscall.AF_INET, syscall.SOCK_STREAM), k.stack.socks.all(syscall.AF_INET6, syscall.SOCK_STREAM)...) {
		if o == &k.socket || tcp.EndpointState(o.ep().State()) != tcp.StateListen {
			continue
		}
		its := o.ep().SocketOptions()
		a, err := o.ep().GetLocalAddress()
		if err != nil || a.Port != own.Port || so.GetReusePort() && its.GetReusePort() {
			continue
		}
		if x, y := so.GetBindToDevice(), its.GetBindToDevice(); x != y && x != 0 && y != 0 {
			continue
		}
		if k.overlaps(own.Addr, o, a.Addr) {
			return true
		}
	}
	return false
}

// overlaps reports whether there are connections to both of two addresses, those of this socket and of
// another one.
func (k *socket) overlaps(own tcpip.Address, o *socket, other tcpip.Address) bool {
	mayBe := func(k *socket, a tcpip.Address) (four, six bool) {
		if a.Len() == 0 {
			return k.family == syscall.AF_INET || !k.ep().SocketOptions().GetV6Only(), k.family == syscall.AF_INET6
		}
		four = a.Len() == header.IPv4AddressSize || header.IsV4MappedAddress(a)
		return four, !four
	}
	four, six := mayBe(k, own)
	otherFour, otherSix := mayBe(o, other)
	if own.Len() == 0 || other.Len() == 0 || own.Unspecified() || other.Unspecified() {
		return four && otherFour || six && otherSix
	}
	return unmapped(own) == unmapped(other)
}

// unmapped returns the IPv4 address of a mapped one, and any other as it is.
func unmapped(a tcpip.Address) tcpip.Address {
	if header.IsV4MappedAddress(a) {
		b := a.As16()
		return tcpip.AddrFrom4Slice(b[12:])
	}
	return a
}

// copiedFlags are the options of gVisor that are on or off.
var copiedFlags = [...]struct {
	get func(*tcpip.SocketOptions) bool
	set func(*tcpip.SocketOptions, bool)
}{
	{(*tcpip.SocketOptions).GetReuseAddress, (*tcpip.SocketOptions).SetReuseAddress},
	{(*tcpip.SocketOptions).GetReusePort, (*tcpip.SocketOptions).SetReusePort},
	{(*tcpip.SocketOptions).GetBroadcast, (*tcpip.SocketOptions).SetBroadcast},
	{(*tcpip.SocketOptions).GetKeepAlive, (*tcpip.SocketOptions).SetKeepAlive},
	{(*tcpip.SocketOptions).GetNoChecksum, (*tcpip.SocketOptions).SetNoChecksum},
	{(*tcpip.SocketOptions).GetDelayOption, (*tcpip.SocketOptions).SetDelayOption},
	{(*tcpip.SocketOptions).GetCorkOption, (*tcpip.SocketOptions).SetCorkOption},
	{(*tcpip.SocketOptions).GetQuickAck, (*tcpip.SocketOptions).SetQuickAck},
	{(*tcpip.SocketOptions).GetV6Only, (*tcpip.SocketOptions).SetV6Only},
	{(*tcpip.SocketOptions).GetMulticastLoop, (*tcpip.SocketOptions).SetMulticastLoop},
	{(*tcpip.SocketOptions).GetReceiveTOS, (*tcpip.SocketOptions).SetReceiveTOS},
	{(*tcpip.SocketOptions).GetReceiveTTL, (*tcpip.SocketOptions).SetReceiveTTL},
	{(*tcpip.SocketOptions).GetReceiveHopLimit, (*tcpip.SocketOptions).SetReceiveHopLimit},
	{(*tcpip.SocketOptions).GetReceiveTClass, (*tcpip.SocketOptions).SetReceiveTClass},
	{(*tcpip.SocketOptions).GetReceivePacketInfo, (*tcpip.SocketOptions).SetReceivePacketInfo},
	{(*tcpip.SocketOptions).GetIPv6ReceivePacketInfo, (*tcpip.SocketOptions).SetIPv6ReceivePacketInfo},
	{(*tcpip.SocketOptions).GetReceiveOriginalDstAddress, (*tcpip.SocketOptions).SetReceiveOriginalDstAddress},
	{(*tcpip.SocketOptions).GetIPv4RecvError, (*tcpip.SocketOptions).SetIPv4RecvError},
	{(*tcpip.SocketOptions).GetIPv6RecvError, (*tcpip.SocketOptions).SetIPv6RecvError},
}

// copiedInts are the options of gVisor that are an int.
var copiedInts = [...]tcpip.SockOptInt{
	tcpip.KeepaliveCountOption, tcpip.IPv4TOSOption, tcpip.IPv4TTLOption, tcpip.IPv6HopLimitOption,
	tcpip.MTUDiscoverOption, tcpip.TCPSynCountOption, tcpip.TCPWindowClampOption,
}

// copyEndpointOptions gives an endpoint the options of another.
func copyEndpointOptions(to, from tcpip.Endpoint) {
	a, b := from.SocketOptions(), to.SocketOptions()
	for _, f := range copiedFlags {
		if v := f.get(a); v != f.get(b) {
			f.set(b, v)
		}
	}
	b.SetLinger(a.GetLinger())
	_ = b.SetBindToDevice(a.GetBindToDevice())
	if a, ok := any(a).(interface{ Foreign() bool }); ok && a.Foreign() {
		any(b).(interface{ SetForeign(bool) }).SetForeign(true)
	}
	for _, o := range copiedInts {
		if v, err := from.GetSockOptInt(o); err == nil {
			_ = to.SetSockOptInt(o, v)
		}
	}
	var (
		idle     tcpip.KeepaliveIdleOption
		interval tcpip.KeepaliveIntervalOption
		timeout  tcpip.TCPUserTimeoutOption
		cc       tcpip.CongestionControlOption
		linger   tcpip.TCPLingerTimeoutOption
		deferred tcpip.TCPDeferAcceptOption
	)
	copyOption(to, from, &idle)
	copyOption(to, from, &interval)
	copyOption(to, from, &timeout)
	copyOption(to, from, &cc)
	copyOption(to, from, &linger)
	copyOption(to, from, &deferred)
	if from, ok := from.(interface{ LeastHops() (ipv4, ipv6 uint8) }); ok {
		four, six := from.LeastHops()
		set := to.(interface{ SetLeastHops(ipv6 bool, least uint8) })
		set.SetLeastHops(false, four)
		set.SetLeastHops(true, six)
	}
	copyUrgentInline(to, from)
}

// copyOption copies one option by way of o.
func copyOption[T interface {
	tcpip.GettableSocketOption
	tcpip.SettableSocketOption
}](to, from tcpip.Endpoint, o T) {
	if err := from.GetSockOpt(o); err == nil {
		_ = to.SetSockOpt(o)
	}
}

// inheritReuse is inherit for a listener that has nothing but the usual options.
func (k *streamSocket) inheritReuse(from *socket) {
	a, b := from.ep().SocketOptions(), k.ep().SocketOptions()
	if a.GetReuseAddress() {
		b.SetReuseAddress(true)
	}
	if a.GetReusePort() {
		b.SetReusePort(true)
	}
	if a.GetBroadcast() {
		b.SetBroadcast(true)
	}
}

// inherit gives an accepted socket the options of its listener, socket(7): Linux clones the whole
// structure.
func (k *streamSocket) inherit(from *socket) {
	copyEndpointOptions(k.ep(), from.ep())
	k.features.Store(from.features.Load() &^ bindPending)
	k.lowWater.Store(from.lowWater.Load())
	k.peekOffset.Store(from.peekOffset.Load())
	k.stamping.Store(from.stamping.Load())
	k.unicastNIC.Store(from.unicastNIC.Load())
	k.ports.Store(from.ports.Load())
	if low := from.notSent.Load(); low != 0 {
		k.setNotSent(int(low))
	}
	if filters := k.stack.filters; filters != nil {
		f := from.filter.Load()
		k.filter.Store(f)
		filters.use(&k.socket, f)
	}
	locked := from.locked.Load()
	a, b := from.ep().SocketOptions(), k.ep().SocketOptions()
	if locked&lockSend != 0 {
		b.SetSendBufferSize(a.GetSendBufferSize(), true)
	}
	if locked&lockReceive != 0 {
		b.SetReceiveBufferSize(a.GetReceiveBufferSize(), true)
	}
	k.locked.Store(locked)
	from.stored.mu.Lock()
	k.stored.ints = maps.Clone(from.stored.ints)
	k.stored.unpaced = from.stored.unpaced
	delete(k.stored.ints, optionKey{syscall.SOL_SOCKET, syscall.SO_PRIORITY}) // sk_clone_lock sets it to 0
	from.stored.mu.Unlock()
	if v := k.kept(optionKey{syscall.IPPROTO_TCP, syscall.TCP_MAXSEG}, 0); v != 0 {
		_ = k.setEndpointInt(tcpip.MaxSegOption, v)
	}
}
