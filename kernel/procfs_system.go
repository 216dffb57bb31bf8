package kernel

import (
	"math/bits"
	"slices"
	"sync"
	"syscall"
)

// This file has files of /proc about the machine that are made from what the kernel knows.

// procFilesystems is /proc/filesystems, filesystems(5): those that are mounted.
func procFilesystems(k *Kernel, b []byte) []byte {
	var seen []string
	for _, m := range k.vfs.mountList() {
		kind := m.fs.Type()
		if slices.Contains(seen, kind) {
			continue
		}
		seen = append(seen, kind)
		if kind != "ext4" && kind != "erofs" {
			b = append(b, "nodev"...)
		}
		b = append(append(append(b, '\t'), kind...), '\n')
	}
	return b
}

// procDevices is /proc/devices: the major numbers of /dev.
func procDevices(k *Kernel, b []byte) []byte {
	b = append(b, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n"...)
	k.vfs.mu.Lock()
	defer k.vfs.mu.Unlock()
	b = k.appendDevices(b, syscall.S_IFCHR)
	return k.appendDevices(append(b, "\nBlock devices:\n"...), syscall.S_IFBLK)
}

func (k *Kernel) appendDevices(b []byte, kind uint32) []byte {
	var seen []uint64
	for i := range k.vfs.devices {
		d := &k.vfs.devices[i]
		if d.Mode&syscall.S_IFMT != kind || slices.Contains(seen, d.Major) {
			continue
		}
		seen = append(seen, d.Major)
		major := utoa(d.Major)
		b = append(append(b, "   "[:max(3-len(major), 0)]...), major+" "+d.Driver+"\n"...)
	}
	return b
}

// load is the average number of CPUs that the program keeps busy, over 1, 5 and 15 minutes. It is
// brought up to date when somebody asks: as if the use since then had been even.
type load struct {
	mu   sync.Mutex
	at   int64 // ns since boot
	busy int64 // ns
	// averages are fixed-point numbers with loadShift bits of fraction.
	averages [3]int64
}

const loadShift = 20

// decays are 1-1/(60*minutes), to the power of one second, with loadShift bits of fraction.
var decays = [3]uint64{1<<loadShift - (1<<loadShift)/60, 1<<loadShift - (1<<loadShift)/300, 1<<loadShift - (1<<loadShift)/900}

// update returns the averages at a time at which the CPUs have been busy for so long.
func (l *load) update(now, busy int64) [3]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := now - l.at
	if passed < 1e9 {
		return l.averages
	}
	used := ((busy - l.busy) / 1000 << loadShift) / (passed / 1000)
	for i := range l.averages {
		keep := power(decays[i], uint64(passed/1e9))
		l.averages[i] = (l.averages[i]*keep + used*(1<<loadShift-keep)) >> loadShift
	}
	l.at, l.busy = now, busy
	return l.averages
}

// power returns x to the power of n, for a fixed-point fraction.
func power(x, n uint64) int64 {
	r := uint64(1 << loadShift)
	for range bits.Len64(n) {
		if n&1 != 0 {
			r = r * x >> loadShift
		}
		x = x * x >> loadShift
		n >>= 1
	}
	return int64(r)
}

// procLoadavg is /proc/loadavg, loadavg(5).
func procLoadavg(k *Kernel, b []byte) []byte {
	for _, v := range k.load.update(k.m.Nanotime(), k.cpuTime()) {
		b = append(hundredths(b, v*1000>>loadShift*1e6), ' ')
	}
	return append(b, "1/1 1\n"...)
}
