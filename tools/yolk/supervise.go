package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
	"github.com/yolk-unikernel/yolk/tools/internal/vmlog"
)

// superviseCommand holds one VM in the background until its end.
func superviseCommand(ctx context.Context, _ []string) int {
	closeInherited()
	os.WriteFile("/proc/self/comm", []byte("yolk"), 0) // it was started as /proc/self/exe
	in, out := os.NewFile(superviseIn, "request"), os.NewFile(superviseOut, "report")
	if in == nil || out == nil {
		return usage("", "%s is for yolk run -d alone", superviseName)
	}
	var s supervision
	err := json.NewDecoder(in).Decode(&s)
	in.Close()
	if err != nil {
		return usage("", "%s is for yolk run -d alone", superviseName)
	}
	return s.hold(ctx, out)
}

// closeInherited closes the descriptors that this process has by accident: all but its own, which it
// would not pass on.
func closeInherited() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		if fd == superviseIn || fd == superviseOut {
			unix.CloseOnExec(fd)
		} else {
			unix.Close(fd)
		}
	}
}

// hold starts the VM, reports that, and runs it to its last end. It returns the status of a VM that
// did not start.
func (s *supervision) hold(ctx context.Context, out *os.File) int {
	v, im, err := s.parse()
	if err != nil {
		return fail("", err)
	}
	dir, err := s.reopen(v)
	if err != nil {
		return fail("", err)
	}
	cfg, words, err := v.settings(ctx, im, s.Program, s.Arguments, false)
	con := qemu.Console{}
	if err == nil {
		err = v.connect(ctx, &cfg, &con, words)
	}
	if err != nil {
		return fail("", err)
	}
	k := v.keeper(cfg, con)
	if k.dir, err = s.folder(v, dir, cfg); err != nil {
		return fail("", err)
	}
	if k.log, err = vmlog.Open(k.dir.Path); err != nil {
		k.dir.Remove()
		return fail("", err)
	}
	return s.supervise(k, out)
}

// parse reads the flags, which yolk run has checked.
func (s *supervision) parse() (*vmFlags, *elfcheck.Image, error) {
	for _, kv := range s.Variables {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value)
	}
	v := newVMFlags()
	if _, err := v.parse(s.Flags, nil); err != nil {
		return nil, nil, err
	}
	im, err := elfcheck.Check(s.Image)
	return v, im, err
}

// reopen takes the folder of a VM that is started again, and the host's ports that it had.
func (s *supervision) reopen(v *vmFlags) (*vmdir.Folder, error) {
	if s.Again == "" {
		return nil, nil
	}
	dir, err := vmdir.Reopen(s.Again)
	if err != nil {
		return nil, err
	}
	for i := range v.forwards {
		f := &v.forwards[i]
		if i < len(dir.Ports) && f.Host.Port() == 0 {
			if addr, err := netip.ParseAddrPort(dir.Ports[i].Host); err == nil {
				f.Host = addr
			}
		}
	}
	return dir, nil
}

// folder makes the folder of a new VM, or describes one that is started again.
func (s *supervision) folder(v *vmFlags, dir *vmdir.Folder, cfg qemu.Config) (*vmdir.Folder, error) {
	d := v.describe(cfg, s.Program)
	d.Start = &s.Start
	if dir == nil {
		return vmdir.Create(d, vmdir.State{Phase: vmdir.Starting, Since: d.Created, Started: d.Created, Holder: self()})
	}
	d.Created = dir.Created
	return dir, dir.Describe(d)
}

// supervise runs the VM. When it runs, this process gives up its standard error.
func (s *supervision) supervise(k *keeper, out *os.File) int {
	k.con.Out, k.note = k.log, k.log.Note
	k.con.Remarks = remarks{k.log}
	k.state, _ = k.dir.State()
	k.state.Restarts = 0
	started := false
	k.ready = func(err error) {
		if started = err == nil; started {
			k.detach()
			json.NewEncoder(out).Encode(startReport{Name: k.dir.Name})
			out.Close()
		}
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU)
	defer k.takeSignals()()
	withdraw := k.announce()
	stop := k.serve()
	end := k.run()
	withdraw()
	stop()
	k.con.Initrd.Close()
	if started || s.Again != "" {
		defer k.dir.Release()
	} else {
		defer k.dir.Remove()
	}
	if started {
		k.note("%s", end.Reason)
		return 0
	}
	if f := (*qemu.Failure)(nil); errors.As(k.err, &f) && f.Reason == "" && f.Stderr != "" {
		os.Stderr.WriteString(strings.TrimRight(f.Stderr, "\n") + "\n")
	}
	say("", "%s", end.Reason)
	return max(end.Status, exitFailure)
}

// detach gives up what this process has of the one that started it. Should it crash, its folder
// has the reason.
func (k *keeper) detach() {
	if f, err := k.dir.CrashFile(); err == nil {
		debug.SetCrashOutput(f, debug.CrashOptions{})
		f.Close()
	}
	messages = remarks{k.log}
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		unix.Dup3(int(null.Fd()), 2, 0)
		null.Close()
	}
}

// remarks writes lines to a log that already say who speaks.
type remarks struct{ log *vmlog.Writer }

func (r remarks) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		r.log.Note("%s", strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "yolk: "))
	}
	return len(p), nil
}

// again is what starts a VM that has ended.
func again(vm *vmdir.VM) (*supervision, error) {
	if vm.Start == nil {
		return nil, fmt.Errorf("%s has run in the foreground: start it again there", vm.Name)
	}
	// QEMU of a process that was killed may still hold its ports and disks.
	for end := time.Now().Add(10 * time.Second); vm.State.QEMU.Alive() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return &supervision{Start: *vm.Start, Image: vm.Image, Program: vm.Program, Again: vm.Name}, nil
}
