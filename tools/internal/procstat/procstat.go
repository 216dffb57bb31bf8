// Package procstat measures a process of this host from its files in /proc: proc_pid_stat(5) and
// proc_pid_smaps(5). Start with [Read].
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Sample is what a process has used until a moment.
type Sample struct {
	At  time.Time
	CPU time.Duration // in user and kernel mode, of all its threads
	RSS int64         // bytes of memory that it maps, with what it shares
	PSS int64         // the same, with what n processes share counted as an n-th
}

// ticks is USER_HZ, the unit of times in /proc: 100 per second on x86.
const ticks = 100

// Read measures a process.
func Read(pid int) (Sample, error) {
	s := Sample{At: time.Now()}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	if s.CPU, err = parseCPU(stat); err != nil {
		return s, err
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return s, err
	}
	if s.RSS, err = parseKB(maps, "Rss:"); err == nil {
		s.PSS, err = parseKB(maps, "Pss:")
	}
	return s, err
}

// parseCPU adds fields 14 and 15, utime and stime. The second field is a name, which may have
// anything in it, and ends with the last parenthesis.
func parseCPU(stat []byte) (time.Duration, error) {
	const third, utime, stime = 3, 14, 15
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= stime-third {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	var sum uint64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseUint(string(fields[i-third]), 10, 63)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * (time.Second / ticks), nil
}

// parseKB returns the value of a line "Name:   N kB", in bytes.
func parseKB(text []byte, name string) (int64, error) {
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == name && string(f[2]) == "kB" {
			n, err := strconv.ParseInt(string(f[1]), 10, 53)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/smaps_rollup has no line %s", name)
}

// Percent is the CPU time between two samples, of which one CPU has 100.
func Percent(a, b Sample) float64 {
	d := b.At.Sub(a.At)
	if d <= 0 {
		return 0
	}
	return 100 * float64(b.CPU-a.CPU) / float64(d)
}
