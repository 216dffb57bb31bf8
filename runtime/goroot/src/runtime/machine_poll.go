//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"internal/runtime/syscall/linux"
	"unsafe"
)

// The epoll instance that netpoll_epoll.go uses, its eventfd, and the
// interrupts of devices, which are descriptors of it too. Descriptors of the
// program live in the kernel above; here they are numbers that the kernel has
// declared pollable. The kernel does not go through this instance to wake a
// goroutine: it has the pollDesc at hand (netpollNotify).

const (
	pollFD      = 1 << 30 // the epoll instance
	pollEventFD = pollFD + 1
	pollDevice  = pollFD + 16 // descriptor of device interrupt 0
)

// pollItem is one watched descriptor.
type pollItem struct {
	_        sys.NotInHeap
	data     uint64 // epoll_data: a tagged pointer to the pollDesc
	next     *pollItem
	events   uint32 // ready, not yet reported
	watched  bool
	pollable bool
	queued   bool
}

const (
	pollPerPage  = machPage / unsafe.Sizeof(pollItem{})
	maxPollPages = 1 << 13 // descriptors up to a million
)

// machPoll is the instance: items by descriptor, and the list of those that
// have something to report.
//
// The items of devices have a variable of their own, in the BSS: zeroes in mach would be
// part of the image's file.
type machPoll struct {
	table       uintptr // of pages of items, by descriptor / pollPerPage
	event       pollItem
	counter     uint64 // of the eventfd
	first, last *pollItem
	waiter      *machThread // in epoll_wait
	server      *machThread // of serveInterrupts, waiting
	nextDevice  int
}

var pollDevices [numDevices]pollItem

// item returns the item of a descriptor, nil if there is none (and, without
// alloc, could be none).
func (p *machPoll) item(fd uintptr, alloc bool) *pollItem {
	switch {
	case fd == pollEventFD:
		return &p.event
	case fd >= pollDevice && fd < pollDevice+numDevices:
		return &pollDevices[fd-pollDevice]
	case fd >= maxPollPages*pollPerPage:
		return nil
	}
	if p.table == 0 {
		if !alloc {
			return nil
		}
		a := mach.mem.contiguous(maxPollPages * 8)
		if a == 0 {
			machOutOfMemory()
		}
		p.table = a + directMap
	}
	page := (*uintptr)(unsafe.Pointer(p.table + fd/pollPerPage*8))
	if *page == 0 {
		if !alloc {
			return nil
		}
		*page = mach.mem.zeroFrame()
	}
	return (*pollItem)(unsafe.Pointer(*page + fd%pollPerPage*unsafe.Sizeof(pollItem{})))
}

// setPollable says whether a descriptor may be watched; if not, what was known of it
// is forgotten.
func (p *machPoll) setPollable(fd uintptr, pollable bool) uintptr {
	it := p.item(fd, true)
	if it == nil {
		return machErr(_EBADF)
	}
	it.pollable = pollable
	if !pollable {
		it.watched = false
		it.events = 0
	}
	return 0
}

// takeInterrupt returns the next device interrupt that nobody has.
func (p *machPoll) takeInterrupt() uintptr {
	if p.nextDevice == numDevices {
		return machErr(_ENOMEM)
	}
	p.nextDevice++
	return uintptr(p.nextDevice - 1)
}

// report queues events of an item and wakes the thread in epoll_wait.
func (p *machPoll) report(it *pollItem, events uint32) {
	it.events |= events
	if !it.watched {
		return
	}
	if !it.queued {
		it.queued = true
		it.next = nil
		if p.first == nil {
			p.first = it
		} else {
			p.last.next = it
		}
		p.last = it
	}
	if t := p.waiter; t != nil {
		p.waiter = nil
		if t.state == threadPoll {
			t.ax = uint64(p.collect(t.wait, t.waitMax))
			mach.sched.ready(t, true)
		}
	}
}

// collect moves reported events to the array of struct epoll_event at p.
func (p *machPoll) collect(at uintptr, most int) int {
	n := 0
	for n < most && p.first != nil {
		it := p.first
		p.first = it.next
		it.queued = false
		if !it.watched || it.events == 0 {
			continue
		}
		store32(at, it.events)
		store32(at+4, uint32(it.data))
		store32(at+8, uint32(it.data>>32))
		it.events = 0
		at += 12
		n++
	}
	return n
}

// interrupt records an interrupt of a device.
func (p *machPoll) interrupt(n int) {
	if n < numDevices {
		p.report(&pollDevices[n], linux.EPOLLIN)
	}
	if mach.sched.cpus.Idles() {
		p.wakeServer() // the CPUs that run threads may not poll for long
	}
}

// waitDevice blocks the thread of serveInterrupts until a CPU is about to
// idle with events that nobody polls for.
func (p *machPoll) waitDevice(t *machThread) uintptr {
	p.server = t
	mach.sched.block(threadDevice, 0)
	return 0
}

// wakeServer makes that thread ready, if there is a reason and no signal was
// faster.
func (p *machPoll) wakeServer() {
	if t := p.server; t != nil && p.first != nil {
		p.server = nil
		if t.state == threadDevice {
			t.ax = 0
			mach.sched.ready(t, false)
		}
	}
}

func linuxEpollCtl(op, fd, event uintptr) uintptr {
	p := &mach.poll
	it := p.item(fd, true)
	if it == nil {
		return machErr(_EBADF)
	}
	switch op {
	case linux.EPOLL_CTL_ADD, linux.EPOLL_CTL_MOD:
		if !it.pollable && fd < pollFD {
			return machErr(_EPERM) // a file that is always ready
		}
		if it.watched && op == linux.EPOLL_CTL_ADD {
			return machErr(_EEXIST)
		}
		it.data = uint64(load32(event+4)) | uint64(load32(event+8))<<32
		it.watched = true
		ready := it.events
		if fd < pollFD {
			// Edge-triggered watching begins with the present state. The
			// kernel above knows it; a spurious event is what the poller
			// allows, a lost one is not.
			ready = linux.EPOLLIN | linux.EPOLLOUT
		}
		if ready != 0 {
			p.report(it, ready)
		}
	case linux.EPOLL_CTL_DEL:
		if !it.watched {
			return machErr(_ENOENT)
		}
		it.watched = false
		it.events = 0
	default:
		return machErr(_EINVAL)
	}
	return 0
}

func linuxEpollWait(t *machThread, events uintptr, most int, ms int32) uintptr {
	p := &mach.poll
	if most <= 0 {
		return machErr(_EINVAL)
	}
	if p.counter != 0 {
		p.report(&p.event, linux.EPOLLIN) // the eventfd is watched level-triggered
	}
	if n := p.collect(events, most); n > 0 || ms == 0 {
		return uintptr(n)
	}
	t.wait, t.waitMax = events, most
	deadline := int64(0)
	if ms > 0 {
		deadline = machNow() + int64(ms)*1e6
	}
	p.waiter = t
	mach.sched.block(threadPoll, deadline)
	return 0
}

// linuxEventWrite and linuxEventRead are write(2) and read(2) of the eventfd.
func linuxEventWrite(buf uintptr) uintptr {
	mach.poll.counter += load64(buf)
	mach.poll.report(&mach.poll.event, linux.EPOLLIN)
	return 8
}

func linuxEventRead(buf uintptr) uintptr {
	if mach.poll.counter == 0 {
		return machErr(_EAGAIN)
	}
	store64(buf, mach.poll.counter)
	mach.poll.counter = 0
	mach.poll.event.events = 0
	return 8
}

// netpollNotify wakes the goroutines that wait for events of fd; events are
// EPOLL bits. It runs on an ordinary goroutine and reads the item that the
// machine half keeps: a descriptor that is closed and opened again meanwhile
// shows in the tag, as in netpoll.
func netpollNotify(fd uintptr, events uint32) {
	it := mach.poll.item(fd, false)
	if it == nil || !it.watched {
		return
	}
	data := it.data
	tp := *(*taggedPointer)(unsafe.Pointer(&data))
	pd := (*pollDesc)(tp.pointer())
	if pd == nil || pd.fdseq.Load() != tp.tag() {
		return
	}
	pd.setEventErr(events == linux.EPOLLERR, tp.tag())
	delta := int32(0)
	var rg, wg *g
	if events&(linux.EPOLLIN|linux.EPOLLRDHUP|linux.EPOLLHUP|linux.EPOLLERR) != 0 {
		rg = netpollunblock(pd, 'r', true, &delta)
	}
	if events&(linux.EPOLLOUT|linux.EPOLLHUP|linux.EPOLLERR) != 0 {
		wg = netpollunblock(pd, 'w', true, &delta)
	}
	netpollAdjustWaiters(delta)
	if rg != nil {
		netpollgoready(rg, 1)
	}
	if wg != nil {
		netpollgoready(wg, 1)
	}
}
