//go:build tamago

package runtime

import (
	machine "internal/runtime/yolk"
	"unsafe"
)

// Clocks of CPU time.

// cpuClock reads a clock whose number has the ID of a process or a thread, as
// clock_getcpuclockid(3) makes it: ~ID<<3, with bit 2 for a thread. The lowest bits say
// what counts; all time here is the program's.
func cpuClock(t *machThread, clock int32, now int64) (ns int64, ok bool) {
	const thread, kind, noCPU = 4, 3, 3
	id := ^(clock >> 3)
	switch {
	case clock&kind == noCPU:
		return 0, false
	case clock&thread != 0:
		if id != 0 {
			t = threadByID(id)
		}
		if t == nil {
			return 0, false
		}
		return t.ranUntil(now), true
	}
	for _, c := range mach.smp.cpus() {
		ns += c.busyUntil(now)
	}
	return ns, id == 0 || id == machPID
}

// listThreads describes the program's threads in a list of n, and returns how many there are.
func listThreads(list *machine.Thread, n uintptr) (count uintptr) {
	now := machNow()
	for t := mach.sched.threads; t != nil; t = t.all {
		if t.state == threadDead || t.idle() {
			continue
		}
		if count < n {
			e := (*machine.Thread)(unsafe.Pointer(uintptr(unsafe.Pointer(list)) + count*unsafe.Sizeof(*list)))
			*e = machine.Thread{ID: t.id, Running: t.state == threadRunning, Ran: t.ranUntil(now), Waits: t.waits, Preemptions: t.preemptions}
		}
		count++
	}
	return count
}

// ranUntil returns how long the thread has run (ns).
func (t *machThread) ranUntil(now int64) int64 {
	if t.cpu != nil && t.cpu.cur == t {
		return t.ran + now - t.cpu.since
	}
	return t.ran
}
