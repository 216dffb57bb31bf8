package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
	"github.com/yolk-unikernel/yolk/tools/internal/snapshot"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// boot runs an image in the foreground to its end and returns yolk's exit status.
func (v *vmFlags) boot(ctx context.Context, im *elfcheck.Image, program string, args []string) int {
	terminal := ui.IsTerminal(os.Stdin) && ui.IsTerminal(os.Stdout) && ui.InForeground(os.Stdin)
	cfg, words, err := v.settings(ctx, im, program, args, terminal)
	if err != nil {
		return fail("", err)
	}
	if v.print {
		return v.printCommandLine(cfg, words)
	}
	con := qemu.Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: terminal, Remarks: os.Stderr}
	if err := v.connect(ctx, &cfg, &con, words); err != nil {
		return fail("", err)
	}
	defer con.Initrd.Close()
	k := v.keeper(cfg, con)
	k.note = func(format string, args ...any) { say("", format, args...) }
	d := v.describe(cfg, program)
	d.Foreground, d.Restart = true, "no"
	k.dir, err = vmdir.Create(d, vmdir.State{Phase: vmdir.Starting, Since: d.Created, Started: d.Created, Holder: self()})
	switch {
	case errors.Is(err, vmdir.ErrTaken):
		return fail("", err)
	case err != nil:
		say("", "other commands cannot reach this VM: %v", err)
	default:
		defer k.dir.Remove()
		defer k.announce()()
		defer k.serve()()
	}
	return runForeground(ctx, k)
}

// settings are the VM's configuration and the words of the guest's.
func (v *vmFlags) settings(ctx context.Context, im *elfcheck.Image, program string, args []string, terminal bool) (cfg qemu.Config, words string, err error) {
	if err := cmp.Or(v.checkDisks(im), v.checkMemory(im), v.checkTaps()); err != nil {
		return cfg, "", err
	}
	if cfg, err = v.config(os.Stderr); err != nil {
		return cfg, "", err
	}
	if cfg.Kernel, err = filepath.Abs(im.Path); err != nil {
		return cfg, "", err
	}
	if err := v.findZone(ctx); err != nil {
		return cfg, "", err
	}
	words = v.bootLine(program, args, terminal)
	if v.print {
		return cfg, words, nil
	}
	words += " " + qemu.VirtioConsole
	if rows, columns, ok := ui.WindowSize(os.Stdin); terminal && ok {
		words += fmt.Sprintf(" yolk.size=%d,%d", rows, columns)
	}
	if !terminal {
		words += " " + qemu.EscapedInput // of an image that knows the serial port alone
	}
	return cfg, words, nil
}

// connect adds the initial module, which the caller closes, the debugger and the core.
func (v *vmFlags) connect(ctx context.Context, cfg *qemu.Config, con *qemu.Console, words string) error {
	if v.core != "" {
		im, err := snapshot.Open(cfg.Kernel) // now: at the time of a crash the file may have been replaced
		if err != nil {
			return fmt.Errorf("-core: %w", err)
		}
		con.Crashed = func(c *qmp.Client) { v.writeCore(c, im) }
	}
	module, err := v.initialModule(words)
	if err != nil {
		return err
	}
	con.Initrd, con.Virtio = module, true
	if !cfg.GDB.IsZero() {
		say("", "debug with: %s", gdbCommand(cfg.Kernel, cfg.GDB.String(), findSources(ctx)))
	}
	return nil
}

// describe tells other commands of the VM.
func (v *vmFlags) describe(cfg qemu.Config, program string) vmdir.Description {
	d := vmdir.Description{
		Name: v.name, Image: cfg.Kernel, Program: program, Created: time.Now(), Memory: cfg.Memory, CPUs: cfg.CPUs,
		Ports: []vmdir.Port{}, Restart: v.restart.String(), StopTimeout: int(v.stopTimeout / time.Second),
	}
	if v.fromGo { // which runs several at once with the same flags
		d.Name, d.Program = "", cmp.Or(v.name, program)
	}
	if v.health != nil {
		d.HealthCheck = v.health.String()
	}
	for _, f := range cfg.Forwards {
		d.Ports = append(d.Ports, vmdir.Port{Proto: f.Proto, Host: f.Host.String(), Guest: f.Guest})
	}
	return d
}

// keeper returns what runs the VM.
func (v *vmFlags) keeper(cfg qemu.Config, con qemu.Console) *keeper {
	k := &keeper{cfg: cfg, con: con, counter: v.restart.Counter(), orders: make(chan order), finished: make(chan struct{}), asking: make(chan struct{}, 1)}
	if v.health != nil {
		for _, f := range cfg.Forwards {
			if f.Proto == "tcp" && f.Guest == v.health.Port {
				k.probe = &probe{check: *v.health, addr: reachable(f), settings: v.healthSettings}
			}
		}
	}
	return k
}

// reachable is an address at which this host reaches a forwarded port.
func reachable(f qemu.Forward) string {
	if f.Host.Addr().IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", f.Host.Port())
	}
	return f.Host.String()
}

// announce makes QEMU's monitor and lists it for yolk dump.
func (k *keeper) announce() (withdraw func()) {
	socket, withdraw, err := qemu.Announce(qemu.Running{Name: k.dir.Name, Image: k.cfg.Kernel, Started: k.dir.Created})
	if err != nil {
		k.note("yolk dump cannot reach this VM: %v", err)
		return func() {}
	}
	k.cfg.Monitor = socket
	return withdraw
}

// runForeground connects the VM with the terminal and the signals.
func runForeground(ctx context.Context, k *keeper) int {
	if ctx.Err() != nil { // interrupted before the VM was started
		return exitFailure
	}
	// A background job that reads its terminal would be stopped; with SIGTTIN ignored the
	// read fails instead.
	signal.Ignore(syscall.SIGTTIN)
	defer k.takeSignals()()
	if k.con.Terminal {
		if signals, restore, err := ui.PassKeys(os.Stdin); err == nil {
			defer restore()
			k.con.Keys = signals
		}
		k.con.Leave = k.leave
	}
	end := k.run()
	f := (*qemu.Failure)(nil)
	switch {
	case k.err == nil || errors.Is(k.err, qemu.ErrKilled):
		return end.Status
	case errors.As(k.err, &f) && f.Reason == "" && f.Stderr != "":
		os.Stderr.WriteString(strings.TrimRight(f.Stderr, "\n") + "\n")
	}
	say("", "%v", k.err)
	return end.Status
}
