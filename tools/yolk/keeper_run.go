package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/health"
	"github.com/yolk-unikernel/yolk/tools/internal/inside"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// outcome tells of one run.
type outcome struct {
	end     vmdir.End
	err     error // if the program has no status
	lived   time.Duration
	unheard bool           // it ended before the VM ran
	order   string         // what was asked for, which decides what follows
	waiting []chan<- error // who asked for a restart
}

// stopGrace is how long a guest may take to end after SIGTERM unless -stop-timeout says otherwise. The
// program that sent it may not repeat it.
const stopGrace = 10 * time.Second

// silentStart is when a VM counts as started that has not been heard of: a debugger may hold it, and a
// guest may be silent.
const silentStart = 5 * time.Second

// ending is what is known of the end of a run before it comes.
type ending struct {
	order   string
	first   syscall.Signal // that asked for it
	killed  syscall.Signal // whose status a killed VM has, 0 while it is not
	grace   time.Duration
	overdue bool // the grace was over
	heard   bool // the VM ran
	limit   <-chan time.Time
	waiting []chan<- error
}

// once starts the VM and waits for its end. It calls answer with nil when the VM runs.
func (k *keeper) once(answer func(error)) outcome {
	began := time.Now()
	con := k.con
	if k.log != nil {
		con.In = k.input.open()
	}
	var tail recent
	con.Out = io.MultiWriter(con.Out, &tail)
	if con.Err != nil {
		con.Err = io.MultiWriter(con.Err, &tail)
	}
	k.state.Started, k.state.QEMU, k.state.Health, k.state.Probe = began, vmdir.Process{}, "", ""
	k.phase(vmdir.Starting)
	k.build = inside.Build(k.cfg.Kernel)
	vm, err := qemu.Start(k.cfg, con)
	if err != nil {
		end := vmdir.End{Kind: vmdir.VMMError, Status: exitFailure, Reason: err.Error(), At: time.Now()}
		return outcome{end: end, err: err, unheard: true}
	}
	k.vm.Store(vm)
	defer k.vm.Store(nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	found := make(chan healthFinding)
	if k.probe != nil {
		k.state.Health = health.Starting
		go k.probe.watch(ctx, found)
	}
	k.state.QEMU, _ = vmdir.ProcessOf(vm.PID())
	k.save()
	e := k.attend(vm, answer, found)
	status, err := vm.Wait()
	k.state.QEMU, k.state.Health, k.state.Probe = vmdir.Process{}, "", ""
	o := outcome{err: err, lived: time.Since(began), order: e.order, waiting: e.waiting, unheard: !e.heard}
	o.end = endOf(status, err, &e, tail.has(outOfMemory))
	o.end.At = time.Now()
	return o
}

// attend does what is asked for while a VM runs, and returns at its end.
func (k *keeper) attend(vm *qemu.VM, answer func(error), found <-chan healthFinding) (e ending) {
	ready, silent := vm.Ready(), time.After(silentStart)
	running := func() {
		ready, silent, e.heard = nil, nil, true
		if e.order == "" {
			k.phase(vmdir.Running)
		}
		answer(nil)
	}
	for {
		select {
		case <-vm.Done():
			select {
			case <-ready:
				running()
			default:
			}
			return e
		case <-ready:
			running()
		case <-silent:
			running()
		case f := <-found:
			k.healthIs(f)
		case <-e.limit:
			e.overdue = true
			k.note("the VM has not ended within %v: killed", e.grace)
			e.kill(vm, e.first)
		case s := <-k.signals:
			k.signalled(vm, &e, s.(syscall.Signal))
		case o := <-k.orders:
			k.obey(vm, &e, o)
		}
	}
}

func (e *ending) kill(vm *qemu.VM, sig syscall.Signal) {
	e.limit = nil
	if e.killed == 0 {
		e.killed = sig
	}
	vm.Kill()
}

// signalled passes the first signal to this process to the VM as a request to stop, and kills the VM
// at the second.
func (k *keeper) signalled(vm *qemu.VM, e *ending, sig syscall.Signal) {
	if sig == syscall.SIGWINCH {
		if rows, columns, ok := ui.WindowSize(os.Stdin); ok {
			vm.Resize(rows, columns)
		}
		return
	}
	if e.order != "" {
		e.kill(vm, sig)
		return
	}
	o := order{op: control.Stop, sig: sig, grace: stopGrace}
	if k.dir != nil {
		o.grace = time.Duration(k.dir.StopTimeout) * time.Second
	}
	if sig == syscall.SIGINT && k.log == nil {
		fmt.Fprintln(os.Stderr, "yolk: stopping (again to kill)")
		o.grace = 0
	}
	k.obey(vm, e, o)
}

// obey does what an order says.
func (k *keeper) obey(vm *qemu.VM, e *ending, o order) {
	first := e.order == ""
	if o.op == control.Restart {
		if e.order == control.Stop || e.order == control.Kill {
			o.done <- errors.New("the VM has been asked to end")
			return
		}
		e.waiting = append(e.waiting, o.done)
	}
	e.order = o.op
	if o.op == control.Kill {
		e.kill(vm, syscall.SIGKILL)
		return
	}
	if first {
		e.first = o.sig
		vm.Stop(o.sig)
		k.phase(vmdir.Stopping)
	}
	if o.grace > 0 {
		e.grace, e.limit = o.grace, time.After(o.grace)
	}
	if k.log != nil {
		k.note("the program is asked to end (%s), and killed after %v", unix.SignalName(o.sig), o.grace)
	}
}

// healthIs writes a state of health that is new.
func (k *keeper) healthIs(f healthFinding) {
	detail := ""
	if f.err != nil {
		detail = f.err.Error()
	}
	if f.state == k.state.Health && detail == k.state.Probe {
		return
	}
	if f.state != k.state.Health {
		k.note("health: %s", strings.TrimSuffix(f.state+": "+detail, ": "))
	}
	k.state.Health, k.state.Probe = f.state, detail
	k.save()
}

// outOfMemory begins the machine's words when it has no memory left.
const outOfMemory = "yolk: out of memory: "

// endOf names the end of a run. Status is yolk's.
func endOf(status int, err error, e *ending, noMemory bool) vmdir.End {
	const none, killed = 125, 128 + 9
	f := (*qemu.Failure)(nil)
	switch {
	case err == nil && status == none:
		return vmdir.End{Kind: vmdir.Fault, Status: status, Reason: "exit status 125: the machine found a bug in itself (see the log), or it is the program's own status"}
	case err == nil && status == killed && noMemory:
		return vmdir.End{Kind: vmdir.OutOfMemory, Status: status, Reason: "the guest ran out of memory (see the log); give it more with -m"}
	case err == nil && status > 128 && status <= 128+64:
		sig := syscall.Signal(status - 128)
		return vmdir.End{Kind: vmdir.Signal, Status: status, Signal: unix.SignalName(sig), Reason: "the program was ended by " + unix.SignalName(sig)}
	case err == nil:
		return vmdir.End{Kind: vmdir.Exit, Status: status, Reason: fmt.Sprintf("the program ended with status %d", status)}
	case errors.Is(err, qemu.ErrKilled):
		end := vmdir.End{Kind: vmdir.Killed, Status: 128 + int(e.killed), Signal: unix.SignalName(e.killed), Reason: "killed on request"}
		if e.overdue {
			end.Kind, end.Reason = vmdir.AfterGrace, fmt.Sprintf("killed: it had not ended within %v", e.grace)
		}
		return end
	case errors.As(err, &f) && f.Signal != 0:
		return vmdir.End{Kind: vmdir.VMMSignal, Status: exitNoVM, Signal: unix.SignalName(f.Signal), Reason: f.Reason}
	case errors.As(err, &f) && f.Reason == "":
		return vmdir.End{Kind: vmdir.Fault, Status: exitNoVM, Reason: err.Error()}
	}
	return vmdir.End{Kind: vmdir.VMMError, Status: exitNoVM, Reason: err.Error()}
}

// recent keeps the end of what was written.
type recent struct {
	mu sync.Mutex // two streams write
	b  []byte
}

const recentSize = 4096

func (r *recent) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b = append(r.b, p...)
	if len(r.b) > recentSize {
		r.b = append(r.b[:0], r.b[len(r.b)-recentSize:]...)
	}
	return len(p), nil
}

func (r *recent) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.b, []byte(text))
}

// leave is a request to stop from the keyboard.
func (k *keeper) leave() {
	select {
	case k.signals <- syscall.SIGTERM:
	default: // there are enough
	}
}

// takeSignals sends the signals that ask for the VM's end, and that of a terminal whose window has another size.
func (k *keeper) takeSignals() (stop func()) {
	k.signals = make(chan os.Signal, 8)
	signal.Notify(k.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if k.con.Terminal {
		signal.Notify(k.signals, syscall.SIGWINCH)
	}
	return func() { signal.Stop(k.signals) }
}
