package kernel

import (
	"math/bits"
	"syscall"
)

// pollFD is struct pollfd.
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

const pollNval = 0x20 // POLLNVAL

// sysPoll is poll(2).
func sysPoll(k *Kernel, a Args) (uintptr, syscall.Errno) {
	timeout := int64(a.Int(2))
	if timeout > 0 {
		timeout *= 1e6
	}
	return k.pollUser(&a, timeout)
}

// sysPpoll is ppoll(2); the signal mask is ignored.
func sysPpoll(k *Kernel, a Args) (uintptr, syscall.Errno) {
	timeout := int64(-1)
	if ts := optional[syscall.Timespec](&a, 2); ts != nil {
		ns, ok := nanos(*ts)
		if !ok {
			return 0, syscall.EINVAL
		}
		timeout = ns
	}
	return k.pollUser(&a, timeout)
}

// pollUser polls the structures of arguments 0 and 1.
func (k *Kernel) pollUser(a *Args, timeout int64) (uintptr, syscall.Errno) {
	n := uint32(a.N[1])
	if uint64(n) > k.proc.limit(rlimitNoFile) {
		return 0, syscall.EINVAL
	}
	fds, e := userSlice[pollFD](a, 0, int(n))
	if e != 0 {
		return 0, e
	}
	return k.poll(fds, timeout), 0
}

// poll waits until a descriptor is ready and returns how many are.
func (k *Kernel) poll(fds []pollFD, timeout int64) uintptr {
	if n := k.pollOnce(fds); n > 0 || timeout == 0 {
		return n
	}
	s := newSleeper(k, nil, timeout)
	held := make([]*Description, 0, 8)
	queues := make([]*WaitQueue, 0, 8)
	for i := range fds {
		if d, e := k.fds.get(int(fds[i].fd)); e == 0 {
			held = append(held, d)
			if q := d.file.Queue(); q != nil {
				queues = append(queues, q)
			}
		}
	}
	s.watch(queues)
	var n uintptr
	for {
		if n = k.pollOnce(fds); n > 0 || !s.sleep() {
			break
		}
	}
	s.done() // leave the queues while the files are still referenced
	for _, d := range held {
		d.DecRef()
	}
	return n
}

// pollOnce sets revents and returns the number of ready descriptors.
func (k *Kernel) pollOnce(fds []pollFD) (n uintptr) {
	for i := range fds {
		p := &fds[i]
		p.revents = 0
		if p.fd < 0 {
			continue
		}
		p.revents = k.pollFD(int(p.fd), p.events)
		if p.revents != 0 {
			n++
		}
	}
	return n
}

func (k *Kernel) pollFD(fd int, want int16) int16 {
	d, e := k.fds.get(fd)
	if e != 0 {
		return pollNval
	}
	defer d.DecRef()
	if d.flags.Load()&oPath != 0 {
		return pollNval
	}
	return int16(pollEvents(d.file) & (Events(uint16(want)) | EventErr | EventHup))
}

// sysSelect is select(2), which stores the time left.
func sysSelect(k *Kernel, a Args) (uintptr, syscall.Errno) {
	timeout := int64(-1)
	tv := optional[syscall.Timeval](&a, 4)
	if tv != nil {
		if tv.Sec < 0 || tv.Usec < 0 {
			return 0, syscall.EINVAL
		}
		timeout = min(tv.Sec, 1<<33)*1e9 + tv.Usec*1000
	}
	start := k.m.Nanotime()
	n, e := k.selectFDs(&a, timeout)
	if tv != nil && e == 0 {
		left := max(timeout-(k.m.Nanotime()-start), 0)
		*tv = syscall.Timeval{Sec: left / 1e9, Usec: left % 1e9 / 1000}
	}
	return n, e
}

// sysPselect6 is pselect(2); the signal mask is ignored.
func sysPselect6(k *Kernel, a Args) (uintptr, syscall.Errno) {
	timeout := int64(-1)
	if ts := optional[syscall.Timespec](&a, 4); ts != nil {
		ns, ok := nanos(*ts)
		if !ok {
			return 0, syscall.EINVAL
		}
		timeout = ns
	}
	return k.selectFDs(&a, timeout)
}

// selectFDs implements select with poll: it converts fd_sets to pollfds and back.
func (k *Kernel) selectFDs(a *Args, timeout int64) (uintptr, syscall.Errno) {
	n := a.Int(0)
	if n < 0 {
		return 0, syscall.EINVAL
	}
	n = min(n, maxFiles)
	words := (n + 63) / 64
	var sets [3][]uint64
	for i := range sets {
		if a.Pointer(i+1) != nil {
			s, e := userSlice[uint64](a, i+1, words)
			if e != 0 {
				return 0, e
			}
			sets[i] = s
		}
	}
	events := [3]int16{int16(EventIn), int16(EventOut), int16(EventPri)}
	var fds []pollFD
	for fd := 0; fd < n; fd++ {
		var want int16
		for i, s := range sets {
			if s != nil && s[fd/64]>>(fd%64)&1 != 0 {
				want |= events[i]
			}
		}
		if want != 0 {
			d, e := k.fds.get(fd)
			if e != 0 {
				return 0, e
			}
			d.DecRef()
			fds = append(fds, pollFD{fd: int32(fd), events: want})
		}
	}
	k.poll(fds, timeout)
	for _, s := range sets {
		clear(s)
	}
	return selectResult(fds, &sets), 0
}

func selectResult(fds []pollFD, sets *[3][]uint64) uintptr {
	for _, p := range fds {
		r := Events(uint16(p.revents))
		ready := [3]bool{r&(EventIn|EventHup|EventErr|pollNval) != 0, r&(EventOut|EventErr|pollNval) != 0, r&(EventPri|pollNval) != 0}
		want := [3]bool{p.events&int16(EventIn) != 0, p.events&int16(EventOut) != 0, p.events&int16(EventPri) != 0}
		for i, s := range sets {
			if s != nil && ready[i] && want[i] {
				s[p.fd/64] |= 1 << (p.fd % 64)
			}
		}
	}
	total := 0
	for _, s := range sets {
		for _, w := range s {
			total += bits.OnesCount64(w)
		}
	}
	return uintptr(total)
}
