package wiring_test

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/runtime/machine"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

func init() { kernel.AddProc() } // as package folders does

const (
	sysWrite     = syscall.SYS_WRITE
	sysReadlink  = syscall.SYS_READLINK
	sysIoctl     = syscall.SYS_IOCTL
	sysGetrandom = 318
)

// archive is a file /hello of a cpio archive in the form newc.
const archive = "070701" + "00000001" + "000081a4" + "00000000" + "00000000" + "00000001" + "00000000" +
	"00000006" + "00000000" + "00000000" + "00000000" + "00000000" + "00000006" + "00000000" +
	"hello\x00" + "world\n\x00\x00" +
	"070701" + "00000000" + "00000000" + "00000000" + "00000000" + "00000001" + "00000000" +
	"00000000" + "00000000" + "00000000" + "00000000" + "00000000" + "0000000b" + "00000000" +
	"TRAILER!!!\x00\x00\x00"

// What a program sees of the machine: the host's numbers in /proc, initial files, random
// bytes, calls that the machine half serves.
func TestMachineAsSeen(t *testing.T) {
	m := wiringtest.New(t)
	m.Boot.CPUs, m.Boot.InitialFiles, m.RAM = 3, []byte(archive), 128<<20
	m.Start("console=ttyS0")
	m.WantFile("/hello", "world\n")
	m.WantFile("/proc/cmdline", "console=ttyS0\n")
	info, _ := m.ReadFile("/proc/cpuinfo")
	if n := strings.Count(info, "processor\t"); n != 3 || !strings.Contains(info, ": host CPU\n") {
		t.Errorf("/proc/cpuinfo has %d processors: %q; want 3, named host CPU", n, info)
	}
	if info, _ = m.ReadFile("/proc/meminfo"); !strings.Contains(info, "MemTotal:         131072 kB\n") {
		t.Errorf("/proc/meminfo: %q; want 128 MiB", info)
	}
	if info, _ = m.ReadFile("/proc/stat"); strings.Count(info, "\ncpu") != 3 {
		t.Errorf("/proc/stat: %q; want 3 CPUs", info)
	}
	if info, _ = m.ReadFile("/proc/self/maps"); !strings.HasPrefix(info, "00010000-00011000 r--p") {
		t.Errorf("/proc/self/maps: %q; want the machine's area", info)
	}
	a, b := make([]byte, 32), make([]byte, 32)
	m.Must(sysGetrandom, a, len(a), 0)
	wiring.Random(b)
	if bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) || bytes.Equal(b, make([]byte, 32)) {
		t.Errorf("random bytes %x and %x", a, b)
	}
	if _, e := m.Call(syscall.SYS_KILL, 1, int(syscall.SIGHUP)); e != 0 {
		t.Errorf("kill(1, SIGHUP) = %v", e)
	}
	if _, signals := m.Ends(); len(signals) != 1 || signals[0] != syscall.SIGHUP {
		t.Errorf("signals %v; want SIGHUP", signals)
	}
	if n := wiring.CPUs(); n != 3 {
		t.Errorf("CPUs() = %d; want 3", n)
	}
}

// A call of the machine half gets pointers as numbers.
func TestPassedSystemCall(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	pages := unsafe.Pointer(new([2 * machine.PageSize]byte))
	aligned := unsafe.Add(pages, -uintptr(pages)%machine.PageSize)
	if _, e := m.Call(syscall.SYS_MADVISE, aligned, 16, 4); e != syscall.ENOSYS {
		t.Errorf("a call that the host's machine half does not have = %v; want ENOSYS", e)
	}
	m.WantQuiet()
}

func TestPowerOff(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	wiring.SetPowerOff(0x604, 0x2000, 0, 0)
	if got, want := m.PowerOff(), (machine.PowerOff{Port: 0x604, Value: 0x2000}); got != want {
		t.Errorf("power off %+v; want %+v", got, want)
	}
	wiring.SetPowerOff(0, 0, 0xfed00000, 5)
	if got, want := m.PowerOff(), (machine.PowerOff{Register: 0xfed00000, RegisterValue: 5}); got != want {
		t.Errorf("power off %+v; want %+v", got, want)
	}
}
