package kernel

import (
	"strconv"
	"strings"
	"syscall"
)

// This file is what /proc/self/stat, status, statm and schedstat say, of the process and of each
// thread in /proc/self/task (proc_pid_task(5)).

// threadID returns the ID of the calling thread.
func (k *Kernel) threadID() int {
	tid, e := k.m.Syscall(syscall.SYS_GETTID, Args{})
	if _, known := k.thread(int(tid)); e != 0 || !known {
		return pid
	}
	return int(tid)
}

// thread returns the thread of an ID; ok is false if there is none.
func (k *Kernel) thread(id int) (t Thread, ok bool) {
	for _, t := range k.m.Threads() {
		if t.ID == id {
			return t, true
		}
	}
	return Thread{ID: id}, id == pid
}

// addThreads makes /proc/1/task list the threads. The first has its folder already; those of the others
// have the same files, but for those that tell of a thread.
func (fs *genFS) addThreads() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	task := fs.dir("1/task")
	first := fs.dir("1/task/1")
	fs.setThreadFiles(first, pid)
	task.dynamic = func(name string) (Inode, syscall.Errno) {
		id, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(id) != name {
			return nil, syscall.ENOENT
		}
		if _, ok := fs.k.thread(id); !ok {
			return nil, syscall.ENOENT
		}
		return fs.threadDir(first, id), 0
	}
	task.list = func() (names []string) {
		for _, t := range fs.k.m.Threads() {
			if t.ID != pid {
				names = append(names, strconv.Itoa(t.ID))
			}
		}
		return names
	}
}

// threadDir is the folder of a thread, with the files of the first one's.
func (fs *genFS) threadDir(first *genDir, id int) *genDir {
	d := &genDir{genNode: genNode{fs: fs, ino: 3<<32 + uint64(id), mode: syscall.S_IFDIR | 0o555}, names: map[string]Inode{}}
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	for name, inode := range first.names {
		d.names[name] = inode
	}
	fs.setThreadFiles(d, id)
	return d
}

// setThreadFiles puts the files that tell of a thread into its folder.
func (fs *genFS) setThreadFiles(d *genDir, id int) {
	for i, f := range [...]struct {
		name string
		text func(k *Kernel, b []byte, t Thread) []byte
	}{{"schedstat", threadSchedstat}, {"stat", threadStat}, {"status", threadStatus}} {
		n := genNode{fs: fs, ino: (4+uint64(i))<<32 + uint64(id), mode: syscall.S_IFREG | 0o444}
		d.names[f.name] = fs.newFile(n, func(k *Kernel, b []byte) []byte {
			t, ok := k.thread(id)
			if !ok {
				return b
			}
			return f.text(k, b, t)
		}, nil)
	}
}

// process returns the process as if it were a thread: with the time of all.
func (k *Kernel) process() Thread {
	t, _ := k.thread(pid)
	t.Running, t.Ran = true, k.cpuTime()
	return t
}

func selfStat(k *Kernel, b []byte) []byte      { return threadStat(k, b, k.process()) }
func selfSchedstat(k *Kernel, b []byte) []byte { return threadSchedstat(k, b, k.process()) }
func selfStatus(k *Kernel, b []byte) []byte    { return threadStatus(k, b, k.process()) }

// threadSchedstat is schedstat: the time on a CPU and in run queues (ns), and how often it has run. The
// time in run queues is not measured.
func threadSchedstat(_ *Kernel, b []byte, t Thread) []byte {
	return append(b, strconv.FormatInt(t.Ran, 10)+" 0 "+utoa(t.Waits+t.Preemptions)+"\n"...)
}

// text returns the addresses of the program's instructions.
func (k *Kernel) text() (start, end uintptr) {
	start, end, prot := k.m.Area(0)
	if prot&syscall.PROT_EXEC == 0 {
		return 0, 0
	}
	return start, end
}

// threadStat is stat, with the fields that have the numbers of proc_pid_stat(5).
func threadStat(k *Kernel, b []byte, t Thread) []byte {
	used, counts := k.usedMemory(), k.counts()
	start, end := k.text()
	f := make([]string, 52)
	for i := range f {
		f[i] = "0"
	}
	set := func(field int, v string) { f[field-1] = v }
	set(1, strconv.Itoa(t.ID))
	set(2, "("+k.proc.name(k)+")")
	set(3, t.state()[:1])
	set(5, strconv.Itoa(pid))
	set(6, strconv.Itoa(pid))
	set(8, "-1") // no terminal's process group
	set(10, utoa(counts.Faults-counts.PageReads))
	set(12, utoa(counts.PageReads))
	set(14, strconv.FormatInt(t.Ran/(1e9/userHZ), 10))
	set(18, "20")
	set(20, strconv.Itoa(k.threadCount()))
	set(22, "1") // start time, in ticks after boot
	set(23, utoa(used))
	set(24, utoa(used/pageSize))
	set(25, "18446744073709551615")
	set(26, utoa(uint64(start)))
	set(27, utoa(uint64(end)))
	set(38, "17")
	return append(append(b, strings.Join(f, " ")...), '\n')
}

// state is what the third line of status says.
func (t *Thread) state() string {
	if t.Running {
		return "R (running)"
	}
	return "S (sleeping)"
}

func selfStatm(k *Kernel, b []byte) []byte {
	n := utoa(k.usedMemory() / pageSize)
	start, end := k.text()
	return append(b, n+" "+n+" 0 "+utoa(uint64(end-start)/pageSize)+" 0 "+n+" 0\n"...)
}

func threadStatus(k *Kernel, b []byte, t Thread) []byte {
	c := k.proc.credentials()
	four := func(v [3]uint32) string {
		s := ""
		for _, x := range v {
			s += "\t" + utoa(uint64(x))
		}
		return s + "\t" + utoa(uint64(v[1]))
	}
	groups := "" // with a space behind each, and one if there is none (task_state in fs/proc/array.c)
	for _, g := range k.proc.groupList() {
		groups += utoa(uint64(g)) + " "
	}
	if groups == "" {
		groups = " "
	}
	id := strconv.Itoa(t.ID)
	b = append(b, "Name:\t"+k.proc.name(k)+"\nUmask:\t0"+strconv.FormatUint(uint64(k.proc.umask.Load()), 8)+
		"\nState:\t"+t.state()+"\nTgid:\t1\nNgid:\t0\nPid:\t"+id+"\nPPid:\t0\nTracerPid:\t0\nUid:"+four(c.uid)+"\nGid:"+four(c.gid)+
		"\nFDSize:\t"+strconv.Itoa(len(k.fds.numbers()))+"\nGroups:\t"+groups+"\nNStgid:\t1\nNSpid:\t"+id+"\nNSpgid:\t1\nNSsid:\t1\nKthread:\t0\n"...)
	b = k.statusMemory(b)
	n, _ := k.m.CPUs()
	caps := "000001ffffffffff"
	return append(b, "Threads:\t"+strconv.Itoa(k.threadCount())+"\nSigQ:\t0/"+utoa(k.proc.limits(rlimitSigPending).cur)+
		"\nCapInh:\t0000000000000000\nCapPrm:\t"+caps+"\nCapEff:\t"+caps+"\nCapBnd:\t"+caps+
		"\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\nCpus_allowed:\t"+strconv.FormatUint(1<<min(n, 63)-1, 16)+
		"\nCpus_allowed_list:\t"+cpuList(n)+"\nMems_allowed:\t00000001\nMems_allowed_list:\t0"+
		"\nvoluntary_ctxt_switches:\t"+utoa(t.Waits)+"\nnonvoluntary_ctxt_switches:\t"+utoa(t.Preemptions)+"\n"...)
}

// statusMemory appends the lines about memory.
func (k *Kernel) statusMemory(b []byte) []byte {
	used := k.usedMemory()
	start, end := k.text()
	for _, l := range [...]struct {
		name  string
		bytes uint64
	}{
		{"VmPeak", used}, {"VmSize", used}, {"VmLck", 0}, {"VmPin", 0}, {"VmHWM", used}, {"VmRSS", used}, {"RssAnon", used},
		{"RssFile", 0}, {"RssShmem", 0}, {"VmData", used}, {"VmExe", uint64(end - start)}, {"VmLib", 0}, {"VmSwap", 0}, {"HugetlbPages", 0},
	} {
		v := utoa(l.bytes / 1024)
		b = append(b, l.name+":\t"+strings.Repeat(" ", max(8-len(v), 0))+v+" kB\n"...)
	}
	return append(b, "CoreDumping:\t0\nTHP_enabled:\t1\n"...)
}
