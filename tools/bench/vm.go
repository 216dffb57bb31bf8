package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// system is a guest that can be started.
type system struct {
	Name    string
	Machine string // QEMU's -M
	Kernel  string
	Initrd  string
	Append  string
	Image   int64             // bytes of everything that is loaded
	Symbols map[string]uint64 // of the program's functions that are marks
}

// defaultRAM is the guest's RAM, in MiB, unless RAM is what is measured.
const defaultRAM = 256

// args returns QEMU's arguments, which are the same for every system except for its own fields.
func (s *system) args(ram int, extra ...string) []string {
	a := []string{
		"-M", s.Machine, "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(ram) + "M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-global", "virtio-mmio.force-legacy=false",
		"-netdev", "tap,id=n0,ifname=" + tap + ",script=no,downscript=no",
		"-device", "virtio-net-device,netdev=n0,mac=" + guestMAC,
		"-kernel", s.Kernel, "-append", s.Append,
	}
	if s.Initrd != "" {
		a = append(a, "-initrd", s.Initrd)
	}
	return append(a, extra...)
}

// vm is a running QEMU.
type vm struct {
	cmd     *exec.Cmd
	console tail
	started time.Time
	done    chan struct{}
}

// maxLife bounds the life of every VM, in case the guest hangs.
const maxLife = 5 * time.Minute

// start starts QEMU. It is killed with ctx, with this process, and after
// maxLife.
func start(ctx context.Context, args []string) (*vm, error) {
	ctx, cancel := context.WithTimeout(ctx, maxLife)
	v := &vm{cmd: exec.CommandContext(ctx, "qemu-system-x86_64", args...), done: make(chan struct{})}
	v.cmd.Stdout, v.cmd.Stderr = &v.console, &v.console
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	go func() {
		// Pdeathsig follows the thread that starts the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		v.started = time.Now()
		err := v.cmd.Start()
		result <- err
		if err == nil {
			v.cmd.Wait()
		}
		cancel()
		close(v.done)
	}()
	return v, <-result
}

// kill ends QEMU and waits for it.
func (v *vm) kill() {
	v.cmd.Process.Kill()
	<-v.done
}

func (v *vm) dead() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// usedCPU returns QEMU's CPU time, after its end.
func (v *vm) usedCPU() time.Duration {
	return v.cmd.ProcessState.UserTime() + v.cmd.ProcessState.SystemTime()
}

// cpu returns the CPU time of a running QEMU's threads: the first field of each
// /proc/PID/task/TID/schedstat, in nanoseconds.
func (v *vm) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", v.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("QEMU's CPU time cannot be read: %v", err)
	}
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has just ended
		}
		field, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// failure returns err with the end of the console.
func (v *vm) failure(err error) error {
	return fmt.Errorf("%w; the guest's last words:\n%s", err, v.console.String())
}

// tail keeps the end of the data written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf); n > 2*maxTail {
		t.buf = append(t.buf[:0], t.buf[n-maxTail:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.TrimSpace(t.buf)
	return string(b[max(0, len(b)-maxTail):])
}

// readSymbols returns the addresses of those functions of an ELF file that are marks of the
// instruction count.
func readSymbols(file string) (map[string]uint64, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	symbols := make(map[string]uint64)
	for _, s := range list {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && isMark(s.Name) {
			symbols[s.Name] = s.Value
		}
	}
	return symbols, nil
}

func fileSize(names ...string) (int64, error) {
	var sum int64
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		sum += st.Size()
	}
	return sum, nil
}
