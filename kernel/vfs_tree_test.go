package kernel

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// cpioFile is one entry for makeCPIO.
type cpioFile struct {
	name  string
	mode  uint32
	data  string
	ino   int
	links int
}

func makeCPIO(files ...cpioFile) []byte {
	var b bytes.Buffer
	pad := func() {
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	for i, f := range append(files, cpioFile{name: cpioTrailer}) {
		if f.ino == 0 {
			f.ino = 1000 + i
		}
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", f.ino, f.mode, 3, 4, max(f.links, 1), 500,
			len(f.data), 0, 0, 0, 0, len(f.name)+1, 0)
		b.WriteString(f.name + "\x00")
		pad()
		b.WriteString(f.data)
		pad()
	}
	return append(b.Bytes(), make([]byte, 300)...)
}

func archiveSystem(t testing.TB, files ...cpioFile) *system {
	m := newFake()
	m.archive = makeCPIO(files...)
	return newSystemWith(t, m, Options{})
}

func TestInitialFiles(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1000)
	s := archiveSystem(t,
		cpioFile{name: "./etc", mode: syscall.S_IFDIR | 0o711},
		cpioFile{name: "etc/hosts", mode: syscall.S_IFREG | 0o640, data: "mine"},
		cpioFile{name: "app/data/big", mode: syscall.S_IFREG | 0o644, data: big},
		cpioFile{name: "app/link", mode: syscall.S_IFLNK | 0o777, data: "data/big"},
		cpioFile{name: "a", mode: syscall.S_IFREG | 0o644, ino: 5, links: 2},
		cpioFile{name: "b", mode: syscall.S_IFREG | 0o644, ino: 5, links: 2, data: "shared"},
		cpioFile{name: "../../escape", mode: syscall.S_IFREG | 0o644, data: "x"},
	)
	if got := s.readFile("/etc/hosts"); got != "mine" {
		t.Errorf("/etc/hosts = %q; the archive's should win over the default", got)
	}
	if got := s.readFile("/etc/passwd"); !strings.HasPrefix(got, "root:") {
		t.Errorf("/etc/passwd = %q; want a default", got)
	}
	if got := s.readFile("/app/link"); got != big {
		t.Errorf("a file through a link has %d bytes; want %d", len(got), len(big))
	}
	st, _ := s.stat("/etc/hosts")
	if st.Mode != syscall.S_IFREG|0o640 || st.Uid != 3 || st.Gid != 4 || st.Mtim.Sec != 500 {
		t.Errorf("stat /etc/hosts = %o uid %d gid %d mtime %d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
	}
	a, _ := s.stat("/a")
	b, _ := s.stat("/b")
	if a.Ino != b.Ino || a.Nlink != 2 || s.readFile("/a") != "shared" {
		t.Errorf("hard links: inodes %d and %d, %d links, %q", a.Ino, b.Ino, a.Nlink, s.readFile("/a"))
	}
	if s.readFile("/escape") != "x" {
		t.Error("a name with .. left the root")
	}
}

// The archive is never written: the first write to a page copies it.
func TestInitialFilesCopyOnWrite(t *testing.T) {
	content := strings.Repeat("x", 3*pageSize)
	s := archiveSystem(t, cpioFile{name: "f", mode: syscall.S_IFREG | 0o644, data: content})
	before := bytes.Clone(s.fake.archive)
	fd := s.open("/f", syscall.O_RDWR)
	s.must(syscall.SYS_PWRITE64, fd, []byte("new"), 3, pageSize+10)
	want := content[:pageSize+10] + "new" + content[pageSize+13:]
	if got := s.readFile("/f"); got != want {
		t.Error("a write to a file of the archive is not read back")
	}
	if used := s.k.vfs.rootFS.used.Load(); used != 1 {
		t.Errorf("a write of 3 bytes took %d pages; want 1", used)
	}
	s.must(syscall.SYS_FTRUNCATE, fd, 5)
	s.must(syscall.SYS_FTRUNCATE, fd, 10)
	if got := s.readFile("/f"); got != "xxxxx\x00\x00\x00\x00\x00" {
		t.Errorf("after truncation %q", got)
	}
	if !bytes.Equal(before, s.fake.archive) {
		t.Error("the archive was written")
	}
}

func TestBrokenArchives(t *testing.T) {
	good := makeCPIO(cpioFile{name: "f", mode: syscall.S_IFREG, data: "data"})
	for name, archive := range map[string][]byte{
		"short":     good[:50],
		"cut":       good[:114],
		"magic":     append([]byte("070707"), good[6:]...),
		"digits":    append([]byte("070701zzzzzzzz"), good[14:]...),
		"huge name": append(append(append([]byte{}, good[:94]...), "FFFFFFFF"...), good[102:]...),
		"huge size": append(append(append([]byte{}, good[:54]...), "FFFFFFFF"...), good[62:]...),
	} {
		m := newFake()
		m.archive = archive
		s := newSystemWith(t, m, Options{})
		s.readFile("/etc/hosts")
		if out := m.output(); !strings.Contains(out, "initial files") {
			t.Errorf("%s: the console says %q", name, out)
		}
	}
}

func FuzzCPIO(f *testing.F) {
	f.Add(makeCPIO(cpioFile{name: "d", mode: syscall.S_IFDIR}, cpioFile{name: "d/f", mode: syscall.S_IFREG, data: "data"},
		cpioFile{name: "l", mode: syscall.S_IFLNK, data: "d"}, cpioFile{name: "l/x", mode: syscall.S_IFREG}))
	f.Add(makeCPIO(cpioFile{name: "a", mode: syscall.S_IFREG, ino: 1, links: 2}, cpioFile{name: "a", mode: syscall.S_IFLNK, ino: 1, links: 2, data: "x"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		m := newFake()
		m.archive = archive
		s := newSystemWith(t, m, Options{})
		s.call(syscall.SYS_OPEN, "/etc/hosts", 0, 0)
		s.names("/")
	})
}

// Whatever the path, a walk ends with an error or an object, and the count of links is right.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/", "..", "/tmp/../tmp/./l/x", "/proc/self/fd/0/../1", "//dev//null/", "/tmp/loop/x", "/usr/share/zone/a/b", "/tmp/l/", "/proc/self/cwd/tmp"} {
		f.Add(p)
	}
	s := newSystem(f)
	s.k.SetTree("/usr/share/zone", func(string) ([]byte, bool) { return nil, false })
	s.call(syscall.SYS_SYMLINK, "/tmp", "/tmp/l")
	s.call(syscall.SYS_SYMLINK, "loop", "/tmp/loop")
	f.Fuzz(func(t *testing.T, p string) {
		if strings.Contains(p, "\x00") {
			return
		}
		s.TB = t
		st := new(syscall.Stat_t)
		_, e1 := s.call(syscall.SYS_STAT, p, unsafe.Pointer(st))
		fd, e2 := s.call(syscall.SYS_OPEN, p, syscall.O_NONBLOCK, 0)
		if e2 == 0 {
			s.close(fd)
		}
		if e1 != 0 && e2 == 0 {
			t.Errorf("%q cannot be examined (%v) but opened", p, e1)
		}
		s.call(syscall.SYS_MKDIR, "/tmp/"+p, 0o755)
		s.call(syscall.SYS_RENAME, p, "/tmp/"+p)
		s.call(syscall.SYS_RMDIR, "/tmp/"+p)
	})
}

// A file behaves as an array of bytes, whatever is done to it.
func TestPagesModel(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	base := make([]byte, 50000)
	r.Read(base)
	s := archiveSystem(t, cpioFile{name: "f", mode: syscall.S_IFREG | 0o644, data: string(base)})
	fd := s.open("/f", syscall.O_RDWR)
	model := bytes.Clone(base)
	grow := func(n int) {
		if n > len(model) {
			model = append(model, make([]byte, n-len(model))...)
		}
	}
	for i := range 2000 {
		off := r.Intn(80000)
		n := r.Intn(12000)
		switch r.Intn(6) {
		case 0, 1:
			p := make([]byte, n+1)
			r.Read(p)
			s.must(syscall.SYS_PWRITE64, fd, p, len(p), off)
			grow(off + len(p))
			copy(model[off:], p)
		case 2:
			s.must(syscall.SYS_FTRUNCATE, fd, off)
			grow(off)
			model = model[:off:off]
		case 3:
			s.must(syscall.SYS_FALLOCATE, fd, fallocPunchHole|fallocKeepSize, off, n+1)
			clear(model[min(off, len(model)):min(off+n+1, len(model))])
		case 4:
			s.must(syscall.SYS_FALLOCATE, fd, fallocZeroRange, off, n+1)
			grow(off + n + 1)
			clear(model[off : off+n+1])
		case 5:
			if i == 1000 { // in an arena from here on
				at := s.must(syscall.SYS_MMAP, 0, 1<<17, syscall.PROT_READ, mapShared, fd, 0)
				s.must(syscall.SYS_MUNMAP, at, 1<<17)
			}
		}
		if got := s.readFile("/f"); got != string(model) {
			t.Fatalf("step %d: the file has %d bytes and differs from the model of %d", i, len(got), len(model))
		}
	}
	s.close(fd)
	s.must(syscall.SYS_UNLINK, "/f")
	if used := s.k.vfs.rootFS.used.Load(); used != 0 {
		t.Errorf("%d pages are left after the file is gone", used)
	}
}

func TestNoSpace(t *testing.T) {
	m := newFake()
	m.memory = 1 << 20 // 128 pages for files
	s := newSystemWith(t, m, Options{})
	fd := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	n, e := s.call(syscall.SYS_WRITE, fd, make([]byte, 1<<20), 1<<20)
	if n != 512<<10 || e != 0 {
		t.Errorf("write = %d, %v; want what fits, %d", n, e, 512<<10)
	}
	if _, e := s.call(syscall.SYS_WRITE, fd, []byte("x"), 1); e != syscall.ENOSPC {
		t.Errorf("write to a full file system: %v; want ENOSPC", e)
	}
	s.must(syscall.SYS_UNLINK, "/tmp/f")
	s.close(fd)
	s.writeFile("/tmp/g", "room again")
}

func TestAppendIsLinear(t *testing.T) {
	s := newSystem(t)
	fd := s.open("/tmp/f", syscall.O_CREAT|syscall.O_WRONLY|syscall.O_APPEND)
	chunk := make([]byte, 100)
	a := pointerArgs(1, unsafe.Pointer(&chunk[0]), uintptr(fd), 0, 100)
	bytes := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			s.k.Dispatch(syscall.SYS_WRITE, a)
			if st, _ := s.stat("/tmp/f"); st.Size > 8<<20 {
				s.must(syscall.SYS_FTRUNCATE, fd, 0)
			}
		}
	}).AllocedBytesPerOp()
	if bytes > 1000 {
		t.Errorf("appending 100 bytes allocates %d; a file must not be copied as it grows", bytes)
	}
}

func TestSetFile(t *testing.T) {
	s := archiveSystem(t, cpioFile{name: "etc/mine", mode: syscall.S_IFREG | 0o644, data: "archive"})
	n := 0
	made := func() []byte { n++; return []byte(fmt.Sprint("made ", n)) }
	s.k.SetFile("/etc/resolv.conf", made)
	s.k.SetFile("/etc/mine", made)
	s.k.SetFile("/proc/net/tcp", func() []byte { return []byte("connections") })
	s.k.SetFile("/sys/class/net/eth0/mtu", func() []byte { return []byte("1500\n") })
	if n != 0 {
		t.Error("SetFile made the content before anyone read it")
	}
	a, b := s.readFile("/etc/resolv.conf"), s.readFile("/etc/resolv.conf")
	if a == b || !strings.HasPrefix(a, "made") {
		t.Errorf("two reads gave %q and %q; want fresh content each time", a, b)
	}
	for path, want := range map[string]string{
		"/etc/mine": "archive", "/proc/net/tcp": "connections", "/proc/self/net/tcp": "connections",
		"/sys/class/net/eth0/mtu": "1500\n",
	} {
		if got := s.readFile(path); got != want {
			t.Errorf("%s = %q; want %q", path, got, want)
		}
	}
	s.writeFile("/etc/resolv.conf", "program's")
	s.k.SetFile("/etc/resolv.conf", made)
	if got := s.readFile("/etc/resolv.conf"); got != "program's" {
		t.Errorf("what the program wrote was replaced by %q", got)
	}
	s.k.WriteFile("/new/dir/file", []byte("written"), 0o600)
	if got := s.readFile("/new/dir/file"); got != "written" {
		t.Errorf("WriteFile: %q", got)
	}
	if got := s.names("/sys/class/net"); !strings.Contains(got, "eth0") {
		t.Errorf("/sys/class/net has %q", got)
	}
}

func TestSetTree(t *testing.T) {
	s := newSystem(t)
	s.k.SetTree("/usr/share/zoneinfo", func(name string) ([]byte, bool) { return []byte("TZif"), name == "America/New_York" })
	if got := s.readFile("/usr/share/zoneinfo/America/New_York"); got != "TZif" {
		t.Errorf("a file of the tree = %q", got)
	}
	for _, p := range []string{"America", "America/Nowhere", "x/y/z"} {
		if _, e := s.call(syscall.SYS_OPEN, "/usr/share/zoneinfo/"+p, 0, 0); e != syscall.ENOENT {
			t.Errorf("open %s: %v; want ENOENT", p, e)
		}
	}
	if _, e := s.call(syscall.SYS_OPEN, "/usr/share/zoneinfo/x", syscall.O_CREAT|syscall.O_RDWR, 0o644); e != syscall.EISDIR && e != syscall.EROFS && e != syscall.ENOENT {
		t.Errorf("create in the tree: %v", e)
	}
}

func TestSocketNodes(t *testing.T) {
	s := newSystem(t)
	owner := new(int)
	if e := s.k.MakeSocketNode("/tmp/sock", 0o777, owner); e != 0 {
		t.Fatal(e)
	}
	if e := s.k.MakeSocketNode("/tmp/sock", 0o777, owner); e != syscall.EADDRINUSE {
		t.Errorf("second bind: %v; want EADDRINUSE", e)
	}
	if got, e := s.k.LookupSocketNode("/tmp/sock"); e != 0 || got != owner {
		t.Errorf("lookup = %v, %v", got, e)
	}
	s.writeFile("/tmp/file", "")
	if _, e := s.k.LookupSocketNode("/tmp/file"); e != syscall.ECONNREFUSED {
		t.Errorf("lookup of a file: %v; want ECONNREFUSED", e)
	}
	if _, e := s.k.LookupSocketNode("/tmp/none"); e != syscall.ENOENT {
		t.Errorf("lookup of nothing: %v; want ENOENT", e)
	}
	st, _ := s.stat("/tmp/sock")
	if st.Mode != syscall.S_IFSOCK|0o755 {
		t.Errorf("mode %o; want the umask applied", st.Mode)
	}
	s.must(syscall.SYS_UNLINK, "/tmp/sock")
}

func TestProcFiles(t *testing.T) {
	m := newFake()
	s := newSystemWith(t, m, Options{Args: []string{"/app/prog", "-x"}, Env: []string{"A=1"}, Path: "/app/prog",
		Executable: func() []byte { return []byte("\x7fELF") }})
	for path, want := range map[string]string{
		"/proc/self/cmdline":                                 "/app/prog\x00-x\x00",
		"/proc/self/environ":                                 "A=1\x00",
		"/proc/self/comm":                                    "prog\n",
		"/proc/self/exe":                                     "\x7fELF",
		"/proc/cmdline":                                      "console=ttyS0\n",
		"/proc/1/cgroup":                                     "0::/\n",
		"/proc/thread-self/comm":                             "prog\n",
		"/proc/sys/kernel/hostname":                          "yolk\n",
		"/etc/hostname":                                      "yolk\n",
		"/sys/devices/system/cpu/online":                     "0-1\n",
		"/sys/devices/system/cpu/cpu1/topology/core_id":      "1\n",
		"/proc/self/oom_score_adj":                           "0\n",
		"/proc/1/coredump_filter":                            "00000033\n",
		"/proc/sys/kernel/random/boot_id":                    s.readFile("/proc/sys/kernel/random/boot_id"),
		"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size": "2097152\n",
	} {
		if got := s.readFile(path); got != want {
			t.Errorf("%s = %q; want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/proc/meminfo": "MemTotal:         262144 kB", "/proc/self/stat": "1 (prog) R 0 1 1 ", "/proc/cpuinfo": "model name\t: fake",
		"/proc/mounts": "proc /proc proc rw", "/proc/self/mountinfo": " / / rw", "/proc/self/status": "Pid:\t1\n",
		"/proc/self/limits": "Max open files            1048576              1048576              files", "/proc/stat": "btime ",
		"/proc/version": "yolk", "/proc/self/fdinfo/0": "flags:\t02",
		"/proc/self/maps": "00400000-00500000 r-xp 00000000 00:00 0                                  /app/prog\n" +
			"7f0000001000-7f0000002000 ---p 00000000 00:00 0 \n7f0000002000-7f0000004000 rw-p 00000000 00:00 0 \n",
	} {
		if got := s.readFile(path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	for path, want := range map[string]string{
		"/proc/stat": "cpu  30 0 0 ", "/proc/meminfo": "AnonHugePages:      4096 kB",
	} {
		if got := s.readFile(path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	s.writeFile("/proc/sys/kernel/hostname", "other\n")
	if got := s.readFile("/etc/hostname"); got != "other\n" {
		t.Errorf("/etc/hostname = %q after the host name was set", got)
	}
	if got := s.names("/proc/self/fd"); !strings.Contains(got, "0/10 1/10 2/10") {
		t.Errorf("/proc/self/fd has %q", got)
	}
}

// Every generated file can be read and examined.
func TestAllMadeFiles(t *testing.T) {
	s := newSystem(t)
	n := 0
	var visit func(dir string, depth int)
	visit = func(dir string, depth int) {
		for _, e := range strings.Fields(s.names(dir)) {
			name, typ, _ := strings.Cut(e, "/")
			path := dir + "/" + name
			switch {
			case name == "." || name == "..":
			case typ == "4" && depth < 12:
				visit(path, depth+1)
			case typ == "8":
				if fd, e := s.call(syscall.SYS_OPEN, path, 0, 0); e == 0 { // fdinfo of the listing's descriptor no longer exists
					s.close(fd)
					n++
				}
			case typ == "10":
				s.call(syscall.SYS_READLINK, path, make([]byte, 200), 200) // the listing's descriptor may be closed
			}
		}
	}
	visit("/proc", 0)
	visit("/sys", 0)
	if n < 100 {
		t.Errorf("only %d files were found", n)
	}
}

// Supplementary groups, sorted, in getgroups(2) and proc_pid_status(5).
func TestGroups(t *testing.T) {
	s := newSystem(t)
	set := []uint32{3, 1, 2}
	s.must(syscall.SYS_SETGROUPS, 3, unsafe.Pointer(&set[0]))
	if got := s.readFile("/proc/self/status"); !strings.Contains(got, "\nGroups:\t1 2 3 \n") {
		t.Errorf("/proc/self/status after setgroups(3, 1, 2):\n%s", got)
	}
	got := make([]uint32, 3)
	if n := s.must(syscall.SYS_GETGROUPS, 3, unsafe.Pointer(&got[0])); n != 3 || !slices.Equal(got, []uint32{1, 2, 3}) {
		t.Errorf("getgroups = %d, %v", n, got)
	}
}

// statx(2) reports the birth time of a file in memory, and none for a file without one.
func TestBirthTime(t *testing.T) {
	const btime = 0x800 // STATX_BTIME
	s := newSystem(t)
	before := time.Now().UnixNano()
	s.writeFile("/tmp/f", "x")
	after := time.Now().UnixNano()
	s.must(syscall.SYS_UTIMES, "/tmp/f", unsafe.Pointer(&[2]syscall.Timeval{{Sec: 5}, {Sec: 6}}))
	for path, has := range map[string]bool{"/tmp/f": true, "/tmp": true, "/proc/version": false, "/sys": false} {
		x := new(statxBuf)
		s.must(332, atFdCwd, path, 0, 0xfff, unsafe.Pointer(x))
		if x.mask&btime != 0 != has || has != (x.btime.sec != 0) {
			t.Errorf("statx %s: mask %#x, birth time %v; want one: %v", path, x.mask, x.btime, has)
		}
		if ns := x.btime.sec*1e9 + int64(x.btime.nsec); path == "/tmp/f" && (ns < before || ns > after) {
			t.Errorf("born at %d, which is not between %d and %d", ns, before, after)
		}
	}
}
