package kernel

import (
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// This file has what /proc says of interrupts, switches between threads, page faults, and the
// program's reads and writes.

// counts returns the sums over all CPUs.
func (k *Kernel) counts() (sum CPUCounts) {
	for i := range cpuCount(k) {
		c := k.m.Counts(i)
		if sum.Devices == nil {
			sum.Devices = make([]uint64, len(c.Devices))
		}
		for d, n := range c.Devices {
			sum.Devices[d] += n
		}
		sum.Timer += c.Timer
		sum.Kicks += c.Kicks
		sum.Faults += c.Faults
		sum.PageReads += c.PageReads
		sum.Waits += c.Waits
		sum.Preemptions += c.Preemptions
		sum.Wakeups += c.Wakeups
	}
	sum.Devices = sum.Devices[:k.lastDevice(sum.Devices)]
	return sum
}

// lastDevice returns how many devices there are up to the last that has interrupted.
func (*Kernel) lastDevice(counts []uint64) int {
	for i := len(counts); i > 0; i-- {
		if counts[i-1] != 0 {
			return i
		}
	}
	return 0
}

// interrupts returns the number of all interrupts.
func (c *CPUCounts) interrupts() uint64 {
	n := c.Timer + c.Kicks
	for _, d := range c.Devices {
		n += d
	}
	return n
}

// procInterrupts is /proc/interrupts: a line for each device that has interrupted, whose number is
// that of its vector, less those that are not for devices, then the timers and the interrupts that
// CPUs send each other.
func procInterrupts(k *Kernel, b []byte) []byte {
	cpus := make([]CPUCounts, cpuCount(k))
	b = append(b, "           "...)
	for i := range cpus {
		cpus[i] = k.m.Counts(i)
		name := "CPU" + strconv.Itoa(i)
		b = append(b, name+strings.Repeat(" ", 11-len(name))...)
	}
	b = append(b, '\n')
	row := func(label, what string, of func(*CPUCounts) uint64) {
		b = append(b, strings.Repeat(" ", max(3-len(label), 0))+label+":"...)
		for i := range cpus {
			n := utoa(of(&cpus[i]))
			b = append(b, strings.Repeat(" ", max(11-len(n), 1))+n...)
		}
		b = append(b, "  "+what+"\n"...)
	}
	total := k.counts()
	for d, n := range total.Devices {
		if n != 0 {
			row(strconv.Itoa(d), "APIC "+strconv.Itoa(d)+"-edge      device", func(c *CPUCounts) uint64 { return c.Devices[d] })
		}
	}
	row("LOC", " Local timer interrupts", func(c *CPUCounts) uint64 { return c.Timer })
	row("RES", " Rescheduling interrupts", func(c *CPUCounts) uint64 { return c.Kicks })
	return b
}

// runningThreads counts those that run or want to.
func (k *Kernel) runningThreads() (n int) {
	for _, t := range k.m.Threads() {
		if t.Running {
			n++
		}
	}
	return max(n, 1)
}

// threadCount returns how many threads the program has, the one that asks among them.
func (k *Kernel) threadCount() int { return max(len(k.m.Threads()), 1) }

// ioCounts are the program's calls that read and write, of those that /proc/self/io counts
// (proc_pid_io(5)): read(2) and its relatives, sendfile(2), copy_file_range(2); not recvmsg(2) and
// sendmsg(2). Those of readers and of writers lie apart, so that CPUs do not wait for each other.
type ioCounts struct {
	reads  ioCount
	_      [48]byte
	writes ioCount
}

type ioCount struct{ calls, bytes atomic.Uint64 }

// done counts a call by its result, and returns that.
func (c *ioCount) done(n uintptr, e syscall.Errno) (uintptr, syscall.Errno) {
	c.calls.Add(1)
	if e == 0 {
		c.bytes.Add(uint64(n))
	}
	return n, e
}

// copied counts a call that reads and writes.
func (c *ioCounts) copied(n uintptr, e syscall.Errno) (uintptr, syscall.Errno) {
	c.reads.done(n, e)
	return c.writes.done(n, e)
}

// selfIO is /proc/self/io. What goes to disks is counted for disks (/proc/diskstats), not for the
// program.
func selfIO(k *Kernel, b []byte) []byte {
	r, w := &k.io.reads, &k.io.writes
	return append(b, "rchar: "+utoa(r.bytes.Load())+"\nwchar: "+utoa(w.bytes.Load())+"\nsyscr: "+utoa(r.calls.Load())+
		"\nsyscw: "+utoa(w.calls.Load())+"\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"...)
}
