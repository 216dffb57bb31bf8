package kernel

import (
	"strconv"
	"strings"
	"syscall"
)

// This file is /proc as in proc(5), for one process.

const procMagic = 0x9fa0 // PROC_SUPER_MAGIC

// fillProc and fillSys, unless they are nil, put the files into /proc and /sys.
var fillProc, fillSys func(fs *genFS)

// AddProc gives /proc and /sys the files that the kernel makes. The wiring calls it before the tree is
// built, in programs that name files: others cannot read them, and do not carry them.
func AddProc() {
	fillProc = func(fs *genFS) { fs.addProcFiles() }
	fillSys = func(fs *genFS) { fs.addSysFiles() }
	describeFiles = (*Kernel).appendFiles
}

func (k *Kernel) buildProc() *genFS {
	fs := newGenFS(k, "proc", procMagic, 20)
	if fillProc != nil {
		fillProc(fs)
	}
	return fs
}

func (fs *genFS) addProcFiles() {
	k := fs.k
	fs.addTable(procSystem())
	fs.addTable(procSettings())
	fs.addProcTexts()
	fs.watch("sys/kernel/hostname", pollSetting, &k.hostChanges)
	fs.watch("sys/kernel/domainname", pollSetting, &k.domainChanges)
	for _, dir := range [...]string{"1/", "1/task/1/"} {
		fs.addProcess(dir)
	}
	fs.addThreads()
	fs.link("self", func(*Kernel) string { return "1" })
	fs.link("thread-self", func(k *Kernel) string { return "1/task/" + strconv.Itoa(k.threadID()) })
	fs.link("mounts", func(*Kernel) string { return "self/mounts" })
	fs.link("net", func(*Kernel) string { return "self/net" })
}

// procSystem lists the files about the machine.
func procSystem() genTable {
	return genTable{
		{"cmdline", func(k *Kernel, b []byte) []byte { return append(append(b, k.m.CommandLine()...), '\n') }, nil},
		{"cpuinfo", procCPUInfo, nil},
		{"devices", procDevices, nil},
		{"filesystems", procFilesystems, nil},
		{"interrupts", procInterrupts, nil},
		{"loadavg", procLoadavg, nil},
		{"locks", procLocks, nil},
		{"meminfo", procMeminfo, nil},
		{"stat", procStat, nil},
		{"uptime", procUptime, nil},
		{"version", func(k *Kernel, b []byte) []byte { return append(b, versionLine+"\n"...) }, nil},
		{"vmstat", procVmstat, nil},
	}
}

// addProcTexts adds the files that do not change. Those of /proc/sys are read-only: what cannot be set
// is not accepted.
func (fs *genFS) addProcTexts() {
	fs.addTexts("", nil,
		"swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
		"modules", "",
		"diskstats", "", // package disks has others
		"partitions", "major minor  #blocks  name\n\n",
		"sys/kernel/osrelease", osRelease+"\n",
		"sys/kernel/ostype", "Linux\n",
		"sys/kernel/version", osVersion+"\n",
		"sys/kernel/cap_last_cap", "40\n",
		"sys/kernel/core_pattern", "core\n",
		"sys/kernel/ngroups_max", "65536\n",
		"sys/kernel/overflowgid", "65534\n",
		"sys/kernel/overflowuid", "65534\n",
		"sys/kernel/panic", "0\n",
		"sys/kernel/pid_max", "4194304\n",
		"sys/kernel/random/entropy_avail", "256\n",
		"sys/kernel/random/poolsize", "256\n",
		"sys/kernel/randomize_va_space", "2\n",
		"sys/kernel/tainted", "0\n",
		"sys/kernel/threads-max", "32768\n",
		"sys/vm/max_map_count", "65530\n",
		"sys/vm/min_free_kbytes", "0\n",
		"sys/vm/mmap_min_addr", "65536\n",
		"sys/vm/nr_hugepages", "0\n",
		"sys/vm/overcommit_memory", "1\n",
		"sys/vm/swappiness", "0\n",
		"sys/fs/file-max", "1048576\n",
		"sys/fs/nr_open", "1048576\n",
		"sys/fs/pipe-max-size", "1048576\n",
		"sys/fs/inotify/max_user_watches", "1048576\n",
		"sys/fs/inotify/max_user_instances", "8192\n",
		"sys/fs/inotify/max_queued_events", "16384\n",
		"sys/fs/epoll/max_user_watches", "1048576\n",
		"sys/fs/protected_hardlinks", "0\n",
		"sys/fs/protected_symlinks", "0\n",
	)
}

func procMeminfo(k *Kernel, b []byte) []byte {
	total, free := k.m.Memory()
	used := total - free
	k.tree()
	shmem := uint64(k.vfs.rootFS.used.Load()) * pageSize
	for _, l := range [...]struct {
		name  string
		bytes uint64
	}{
		{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free},
		{"Buffers", 0}, {"Cached", shmem}, {"SwapCached", 0}, {"Active", used}, {"Inactive", 0},
		{"Active(anon)", used}, {"Inactive(anon)", 0}, {"Active(file)", 0}, {"Inactive(file)", 0}, {"Unevictable", 0}, {"Mlocked", 0},
		{"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0},
		{"AnonPages", used}, {"AnonHugePages", k.m.LargePages()}, {"Mapped", 0}, {"Shmem", shmem}, {"Slab", 0}, {"SReclaimable", 0},
		{"SUnreclaim", 0}, {"NFS_Unstable", 0}, {"Bounce", 0}, {"WritebackTmp", 0}, {"ShmemHugePages", 0}, {"ShmemPmdMapped", 0},
		{"CommitLimit", total}, {"Committed_AS", used},
	} {
		v := utoa(l.bytes / 1024)
		b = append(b, l.name+":"+strings.Repeat(" ", max(15-len(l.name)+8-len(v), 1))+v+" kB\n"...)
	}
	return append(b, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n"...)
}

// userHZ is the unit of times in /proc (sysconf(_SC_CLK_TCK)).
const userHZ = 100

// cpuTimes are the nonzero columns of /proc/stat, in units of 1/userHZ.
type cpuTimes struct{ busy, idle, stolen int64 }

func (k *Kernel) cpuTimes(cpu int) (t cpuTimes) {
	const unit = 1e9 / userHZ
	t.busy = k.m.Busy(cpu) / unit
	t.stolen = k.m.Stolen(cpu) / unit
	t.idle = max(k.m.Nanotime()/unit-t.busy-t.stolen, 0)
	return t
}

func procStat(k *Kernel, b []byte) []byte {
	n, _ := k.m.CPUs()
	var sum cpuTimes
	var lines []byte
	line := func(b []byte, name string, t cpuTimes) []byte {
		return append(b, name+" "+strconv.FormatInt(t.busy, 10)+" 0 0 "+strconv.FormatInt(t.idle, 10)+" 0 0 0 "+strconv.FormatInt(t.stolen, 10)+" 0 0\n"...)
	}
	for i := range n {
		t := k.cpuTimes(i)
		sum = cpuTimes{sum.busy + t.busy, sum.idle + t.idle, sum.stolen + t.stolen}
		lines = line(lines, "cpu"+strconv.Itoa(i), t)
	}
	b = append(line(b, "cpu ", sum), lines...)
	counts := k.counts()
	b = append(b, "intr "+utoa(counts.interrupts())...)
	for _, n := range counts.Devices {
		b = append(append(b, ' '), utoa(n)...)
	}
	return append(b, "\nctxt "+utoa(counts.Switches())+"\nbtime "+strconv.FormatInt(k.bootTime()/1e9, 10)+
		"\nprocesses 1\nprocs_running "+strconv.Itoa(k.runningThreads())+"\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"...)
}

// bootTime is when the machine started, in nanoseconds since 1970.
func (k *Kernel) bootTime() int64 { return wallTime() - k.m.Nanotime() }

func hundredths(b []byte, ns int64) []byte {
	c := ns / 1e7
	b = strconv.AppendInt(b, c/100, 10)
	return append(b, '.', byte('0'+c/10%10), byte('0'+c%10))
}

func procUptime(k *Kernel, b []byte) []byte {
	n, _ := k.m.CPUs()
	up := k.m.Nanotime()
	b = append(hundredths(b, up), ' ')
	return append(hundredths(b, max(up*int64(n)-k.cpuTime(), 0)), '\n')
}

func procVmstat(k *Kernel, b []byte) []byte {
	_, free := k.m.Memory()
	counts := k.counts()
	return append(b, "nr_free_pages "+utoa(free/pageSize)+"\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault "+utoa(counts.Faults)+
		"\npgmajfault "+utoa(counts.PageReads)+"\noom_kill 0\n"...)
}

// procSettings lists the files in /proc/sys that change.
func procSettings() genTable {
	return genTable{
		{"sys/kernel/hostname", func(k *Kernel, b []byte) []byte { return append(append(b, k.nodeName()...), '\n') },
			func(k *Kernel, p []byte) syscall.Errno { return k.setNodeName(strings.TrimRight(string(p), "\n")) }},
		{"sys/kernel/domainname", func(k *Kernel, b []byte) []byte { return append(append(b, k.domainName()...), '\n') },
			func(k *Kernel, p []byte) syscall.Errno { return k.setDomainName(strings.TrimRight(string(p), "\n")) }},
		{"sys/kernel/random/boot_id", func(k *Kernel, b []byte) []byte { return append(append(b, k.bootID()...), '\n') }, nil},
		{"sys/kernel/random/uuid", func(k *Kernel, b []byte) []byte { return append(append(b, k.newUUID()...), '\n') }, nil},
		{"sys/fs/file-nr", func(k *Kernel, b []byte) []byte {
			return append(b, strconv.Itoa(len(k.fds.numbers()))+"\t0\t1048576\n"...)
		}, nil},
	}
}

// uuid formats 16 bytes.
func uuid(r [16]byte) string {
	const digits = "0123456789abcdef"
	var b []byte
	for i, v := range r {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[v>>4], digits[v&15])
	}
	return string(b)
}

// newUUID is a random UUID (RFC 9562 §5.4).
func (k *Kernel) newUUID() string {
	var r [16]byte
	k.m.Random(r[:], true)
	r[6] = r[6]&0x0f | 0x40
	r[8] = r[8]&0x3f | 0x80
	return uuid(r)
}

// bootID returns the boot's random UUID, which is made at the first call.
func (k *Kernel) bootID() string {
	k.hostMu.Lock()
	defer k.hostMu.Unlock()
	if k.proc.bootID == "" {
		k.proc.bootID = k.newUUID()
	}
	return k.proc.bootID
}
