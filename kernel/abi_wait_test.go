package kernel

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// epollSystem is a system with shorter words for epoll(7) in scripts.
type epollSystem struct{ *system }

func (s epollSystem) create() int { return s.must(syscall.SYS_EPOLL_CREATE1, 0) }

func (s epollSystem) control(what string, ep, op, fd int, events, id uint32) {
	s.try(what, syscall.SYS_EPOLL_CTL, ep, op, fd, unsafe.Pointer(&epollEvent{events: events, data: [2]uint32{id, 9}}))
}

func (s epollSystem) add(ep, fd int, events, id uint32) {
	s.control("add", ep, syscall.EPOLL_CTL_ADD, fd, events, id)
}

// wait logs the events of an instance.
func (s epollSystem) wait(what string, ep int) { s.waitFor(what, ep, 8, 0) }

func (s epollSystem) waitFor(what string, ep, room, ms int) {
	evs := make([]epollEvent, room)
	n := s.value(what, syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(&evs[0]), room, ms)
	for i := range max(n, 0) {
		s.note("  %d %#x", evs[i].data[0], evs[i].events)
	}
}

// poll logs what poll(2), select(2) and a new instance say about a descriptor.
func (s epollSystem) poll(what string, fd int) {
	const all = 0x3ff | 0x2000
	p := &pollFD{fd: int32(fd), events: all}
	s.value(what, syscall.SYS_POLL, unsafe.Pointer(p), 1, 0)
	s.note("  %#x", uint16(p.revents))
	var sets [3][16]uint64
	for i := range sets {
		sets[i][fd/64] = 1 << (fd % 64)
	}
	s.value("  select", syscall.SYS_SELECT, fd+1, unsafe.Pointer(&sets[0]), unsafe.Pointer(&sets[1]), unsafe.Pointer(&sets[2]), unsafe.Pointer(new(syscall.Timeval)))
	s.note("  %v %v %v", sets[0][fd/64] != 0, sets[1][fd/64] != 0, sets[2][fd/64] != 0)
	ep := s.create()
	s.add(ep, fd, all, 1)
	s.wait("  epoll", ep)
	s.close(ep)
}

func (s epollSystem) eventfd() int { return s.must(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK) }

func (s epollSystem) signal(fd int) { s.must(syscall.SYS_WRITE, fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}, 8) }

func (s epollSystem) drain(fd int) { s.must(syscall.SYS_READ, fd, make([]byte, 8), 8) }

const (
	testIn, testOut = uint32(EventIn), uint32(EventOut)
	testRdHup       = uint32(EventRdHup)
	testNorm        = uint32(EventRdNorm)
)

func waitScript(name string, run func(s epollSystem)) script {
	return script{name, func(s *system) { run(epollSystem{s}) }}
}

var waitScripts = []script{
	waitScript("an instance is polled", func(s epollSystem) {
		ep, ev := s.create(), s.eventfd()
		s.poll("empty", ep)
		s.add(ep, ev, testIn, 1)
		s.poll("nothing", ep)
		s.signal(ev)
		s.poll("ready", ep)
		s.drain(ev)
		s.poll("no longer", ep)
		go func() {
			time.Sleep(10 * time.Millisecond)
			s.call(syscall.SYS_WRITE, ev, []byte{1, 0, 0, 0, 0, 0, 0, 0}, 8)
		}()
		p := &pollFD{fd: int32(ep), events: int16(EventIn)}
		s.value("woken", syscall.SYS_POLL, unsafe.Pointer(p), 1, 5000)
		s.note("%#x", p.revents)
	}),
	waitScript("edges of a nested instance", func(s epollSystem) {
		inner, outer := s.create(), s.create()
		r, w := s.pipe(syscall.O_NONBLOCK)
		s.add(inner, r, testIn, 1)
		s.add(outer, inner, testIn|epollEdge, 2)
		s.wait("nothing", outer)
		s.write(w, "a")
		s.wait("edge", outer)
		s.wait("no edge", outer)
		s.write(w, "b")
		s.wait("another edge", outer)
		s.wait("no edge", outer)
		s.control("mod", inner, syscall.EPOLL_CTL_MOD, r, testIn, 3)
		s.wait("mod is an edge", outer)
		s.control("mod", inner, syscall.EPOLL_CTL_MOD, r, 0, 3)
		s.wait("not if it is not ready", outer)
		other := s.eventfd()
		s.add(inner, other, testIn, 4)
		s.wait("add of one that is not ready", outer)
	}),
	waitScript("only events that were asked for", func(s epollSystem) {
		ep, ev := s.create(), s.eventfd()
		s.add(ep, ev, testOut|epollEdge, 1)
		s.wait("writable", ep)
		s.signal(ev)
		s.wait("a write is no edge for out", ep)
		s.drain(ev)
		s.wait("a read is", ep)
		s.control("both", ep, syscall.EPOLL_CTL_MOD, ev, testIn|testOut|epollEdge, 1)
		s.wait("writable", ep)
		s.signal(ev)
		s.wait("both", ep)
		s.wait("once", ep)
	}),
	waitScript("no events", func(s epollSystem) {
		ep := s.create()
		r, w := s.pipe(0)
		s.add(ep, r, 0, 1)
		s.write(w, "x")
		s.wait("data", ep)
		s.close(w)
		s.wait("hang-up", ep)
		s.control("oneshot", ep, syscall.EPOLL_CTL_MOD, r, epollOneshot, 2)
		s.wait("hang-up", ep)
		s.wait("once", ep)
	}),
	waitScript("turns", func(s epollSystem) {
		ep := s.create()
		var fds []int
		for i := range 4 {
			fds = append(fds, s.eventfd())
			s.add(ep, fds[i], testIn, uint32(i))
			s.signal(fds[i])
		}
		for range 3 {
			s.waitFor("some", ep, 3, 0)
		}
		s.drain(fds[1])
		s.waitFor("all", ep, 8, 0)
		s.close(fds[2])
		s.waitFor("without the closed one", ep, 8, 0)
	}),
	waitScript("loops and depth", func(s epollSystem) {
		first := s.create()
		last, all := first, []int{first}
		for range 6 {
			next := s.create()
			s.add(next, last, testIn, 1)
			last, all = next, append(all, next)
		}
		s.control("loop", all[0], syscall.EPOLL_CTL_ADD, all[4], testIn, 1)
		s.control("itself", first, syscall.EPOLL_CTL_ADD, first, testIn, 1)
		below := s.create()
		s.control("below the lowest", first, syscall.EPOLL_CTL_ADD, below, testIn, 1)
		ev := s.eventfd()
		s.add(first, ev, testIn, 1)
		s.signal(ev)
		s.wait("through four", all[4])
	}),
	waitScript("many paths", func(s epollSystem) {
		// An eventfd that n instances watch, each watched by another one.
		ev := s.eventfd()
		outer := s.create()
		failed := 0
		for i := range 510 {
			inner := s.create()
			defer s.close(inner)
			s.must(syscall.SYS_EPOLL_CTL, outer, syscall.EPOLL_CTL_ADD, inner, unsafe.Pointer(&epollEvent{events: testIn}))
			if _, e := s.call(syscall.SYS_EPOLL_CTL, inner, syscall.EPOLL_CTL_ADD, ev, unsafe.Pointer(&epollEvent{events: testIn})); e != 0 {
				if failed++; failed == 1 {
					s.note("after %d: %v", i, e)
				}
			}
		}
		s.note("failed %d", failed)
	}),
	waitScript("exclusive", func(s epollSystem) {
		ep, ev := s.create(), s.eventfd()
		s.control("with oneshot", ep, syscall.EPOLL_CTL_ADD, ev, testIn|epollExclusive|epollOneshot, 1)
		s.control("with rdhup", ep, syscall.EPOLL_CTL_ADD, ev, testIn|testRdHup|epollExclusive, 1)
		s.control("with rdnorm", ep, syscall.EPOLL_CTL_ADD, ev, testNorm|epollExclusive, 1)
		s.control("an instance", ep, syscall.EPOLL_CTL_ADD, s.create(), testIn|epollExclusive, 1)
		s.control("add", ep, syscall.EPOLL_CTL_ADD, ev, testIn|epollExclusive|epollEdge, 1)
		s.control("mod", ep, syscall.EPOLL_CTL_MOD, ev, testIn, 1)
		s.control("mod to exclusive", ep, syscall.EPOLL_CTL_MOD, ev, testIn|epollExclusive, 1)
		other := s.create()
		s.add(other, ev, testIn|epollExclusive, 2)
		s.signal(ev)
		s.wait("first", ep)
		s.wait("second", other)
		s.control("mod of a missing one", ep, syscall.EPOLL_CTL_MOD, other, testIn|epollExclusive, 1)
		s.control("del", ep, syscall.EPOLL_CTL_DEL, ev, 0, 0)
		s.wait("deleted", ep)
	}),
	waitScript("one of the exclusive sleepers wakes", func(s epollSystem) {
		const sleepers = 4
		ev := s.eventfd()
		woken := make(chan int, sleepers)
		for range sleepers {
			ep := s.create()
			s.add(ep, ev, testIn|epollExclusive|epollEdge, 1)
			go func() {
				n, _ := s.call(syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(new(epollEvent)), 1, 300)
				woken <- n
			}()
		}
		time.Sleep(100 * time.Millisecond)
		s.call(syscall.SYS_WRITE, ev, []byte{1, 0, 0, 0, 0, 0, 0, 0}, 8)
		total := 0
		for range sleepers {
			total += <-woken
		}
		s.note("%d woke", total)
	}),
	waitScript("errors of epoll_ctl in their order", func(s epollSystem) {
		ep, ev := s.create(), s.eventfd()
		dir := s.open(s.dir, 0)
		path := s.open(s.dir, oPath)
		event := unsafe.Pointer(&epollEvent{events: testIn})
		s.try("no event", syscall.SYS_EPOLL_CTL, 9999, syscall.EPOLL_CTL_ADD, 9998, uintptr(0))
		s.try("no instance", syscall.SYS_EPOLL_CTL, 9999, syscall.EPOLL_CTL_ADD, ev, event)
		s.try("no file", syscall.SYS_EPOLL_CTL, ev, syscall.EPOLL_CTL_ADD, 9999, event)
		s.try("not to be watched", syscall.SYS_EPOLL_CTL, ev, syscall.EPOLL_CTL_ADD, dir, event)
		s.try("not an instance", syscall.SYS_EPOLL_CTL, ev, syscall.EPOLL_CTL_ADD, ep, event)
		s.try("O_PATH", syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_ADD, path, event)
		s.try("no such operation", syscall.SYS_EPOLL_CTL, ep, 7, ev, event)
		s.try("del without an event", syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_DEL, ev, uintptr(0))
		s.poll("O_PATH", path)
	}),
	waitScript("too many to poll", func(s epollSystem) {
		s.try("poll", syscall.SYS_POLL, unsafe.Pointer(new(pollFD)), uintptr(1<<20+1), 0)
		s.try("no structures", syscall.SYS_POLL, uintptr(0), 1, 0)
		s.try("none", syscall.SYS_POLL, uintptr(0), 0, 0)
		s.try("select", syscall.SYS_SELECT, -1, uintptr(0), uintptr(0), uintptr(0), unsafe.Pointer(new(syscall.Timeval)))
	}),
	waitScript("what can be polled", func(s epollSystem) {
		s.must(syscall.SYS_MKNOD, s.p("fifo"), syscall.S_IFIFO|0o600, 0)
		s.close(s.open(s.p("file"), syscall.O_CREAT|syscall.O_RDWR))
		for i, path := range []string{
			"/proc/self/mountinfo", "/proc/self/mounts", "/proc/mounts", "/proc/meminfo", "/proc/self/status", "/proc/self/fd",
			"/proc/self", "/proc/sys/kernel/hostname", "/proc/sys/kernel/ostype", "/sys/devices/system/cpu/online",
			"/dev/null", "/dev/zero", "/dev/urandom", "/dev/full", s.p("file"), s.dir, s.p("fifo"),
		} {
			s.poll(fmt.Sprint(i), s.open(path, syscall.O_RDONLY|syscall.O_NONBLOCK))
		}
		sys := s.open("/sys/devices/system/cpu/online", syscall.O_RDONLY)
		s.read(sys, 10)
		s.poll("a file of /sys that was read", sys)
	}),
	waitScript("pairs", func(s epollSystem) {
		ev := s.eventfd()
		s.poll("eventfd", ev)
		s.signal(ev)
		s.poll("eventfd", ev)
		r, w := s.pipe(0)
		s.poll("r", r)
		s.poll("w", w)
		s.write(w, "x")
		s.poll("r", r)
		s.close(w)
		s.poll("r", r)
		s.poll("timer", s.must(syscall.SYS_TIMERFD_CREATE, clockMonotonic, 0))
		s.poll("inotify", s.must(syscall.SYS_INOTIFY_INIT1, 0))
	}),
}
