package kernel

import (
	"strings"
	"syscall"
	"testing"
)

// Interrupts, switches and page faults of the machine are in the files that tell of them, and
// processors are described as CPUID does.
func TestProcCounts(t *testing.T) {
	s := newSystem(t)
	for path, wants := range map[string][]string{
		"/proc/interrupts": {"           CPU0       CPU1       \n", "  2:          0        100  ", "LOC:         10         10  ", "RES:         20         20  "},
		"/proc/stat":       {"\nintr 160 0 0 100\n", "\nctxt 126\n", "\nprocs_running 1\n"},
		"/proc/vmstat":     {"\npgfault 60\npgmajfault 8\n"},
		"/proc/cpuinfo": {"vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 42\nmodel name\t: fake\nstepping\t: 7\ncache size\t: 4096 KB\n",
			"flags\t\t: fpu tsc sse2 lm pni hypervisor lahf_lm avx2\n", "clflush size\t: 64\n", "39 bits physical, 48 bits virtual\n"},
		"/proc/self/status":           {"\nThreads:\t2\n", "\nState:\tR (running)\n", "\nVmExe:\t    1024 kB\n", "\nvoluntary_ctxt_switches:\t0\n"},
		"/proc/self/task/3/status":    {"\nState:\tS (sleeping)\n", "\nTgid:\t1\n", "\nPid:\t3\n", "\nvoluntary_ctxt_switches:\t8\nnonvoluntary_ctxt_switches:\t9\n"},
		"/proc/self/task/3/stat":      {"3 (init) S 0 1 1 0 -1 0 52 0 8 0 200 0 "},
		"/proc/self/schedstat":        {" 0 0\n"},
		"/proc/self/task/3/schedstat": {"2000000000 0 17\n"},
		"/proc/self/task/3/comm":      {"init\n"},
		"/proc/self/mountstats":       {"device proc mounted on /proc with fstype proc\n"},
	} {
		got := s.readFile(path)
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", path, want, got)
			}
		}
	}
	if got := s.names("/proc/self/task"); got != "../4 ./4 1/4 3/4" {
		t.Errorf("the threads are %s", got)
	}
	for _, name := range []string{"2", "03", "x"} {
		if _, e := s.call(syscall.SYS_OPEN, "/proc/self/task/"+name+"/stat", 0, 0); e != syscall.ENOENT {
			t.Errorf("thread %s: %v; want ENOENT", name, e)
		}
	}
	var r syscall.Rusage
	s.must(syscall.SYS_GETRUSAGE, 0, structBytes(&r))
	if r.Nvcsw != 100 || r.Nivcsw != 12 || r.Minflt != 52 || r.Majflt != 8 {
		t.Errorf("getrusage: %+v", r)
	}
}
