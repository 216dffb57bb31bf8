package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/health"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/restart"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
	"github.com/yolk-unikernel/yolk/tools/internal/vmlog"
)

// keeper runs one VM, in the foreground or not, keeps its state true, and does what is asked of it.
// Only run and what it calls use the fields; other goroutines send orders.
type keeper struct {
	dir     *vmdir.Folder // nil if there is none: then nobody can ask for anything
	state   vmdir.State
	cfg     qemu.Config
	con     qemu.Console
	log     *vmlog.Writer // nil in the foreground
	note    func(format string, args ...any)
	counter *restart.Counter
	probe   *probe // nil without a health check

	signals chan os.Signal // to this process
	orders  chan order
	input   input
	vm      atomic.Pointer[qemu.VM] // that runs
	asking  chan struct{}           // has an element while somebody asks it
	build   string                  // of its image, when it was started; set before vm
	ready   func(error)             // called once: the VM runs, or its first start has failed

	finished chan struct{} // closed when run has returned; end and err are set
	end      vmdir.End
	err      error // of the last run if it has no status
}

// order is a request to the keeper.
type order struct {
	op    string // control.Stop, Kill or Restart
	sig   syscall.Signal
	grace time.Duration // 0 is for ever
	done  chan<- error  // of Restart: gets the outcome; may be nil
}

// drainWait is how long the end of this process waits for replies to be sent.
const drainWait = 2 * time.Second

// run runs the VM, again as often as its policy says, until its last end.
func (k *keeper) run() vmdir.End {
	var waiting []chan<- error // for a start
	answer := func(err error) {
		for _, c := range waiting {
			c <- err
		}
		waiting = nil
		if k.ready != nil {
			k.ready(err)
			k.ready = nil
		}
	}
	first := true
	for {
		r := k.once(answer)
		if r.unheard {
			answer(errors.New(r.end.Reason))
		}
		k.state.End, k.err = &r.end, r.err
		waiting = append(waiting, r.waiting...)
		if first && r.unheard || !k.again(&r, &waiting) {
			break
		}
		k.state.Restarts++
		first = false
	}
	k.end = *k.state.End
	k.phase(vmdir.Ended)
	answer(errors.New(k.end.Reason))
	close(k.finished)
	return k.end
}

// again decides whether the VM is started again after a run, and waits until it is time.
func (k *keeper) again(r *outcome, waiting *[]chan<- error) bool {
	switch {
	case r.order == control.Restart:
		return true
	case r.order != "":
		return false
	}
	wait, again := k.counter.Next(r.lived, r.end.Status != 0)
	if !again {
		return false
	}
	k.state.Next = time.Now().Add(wait)
	k.phase(vmdir.Restarting)
	k.note("%s; starting again in %v", r.end.Reason, wait)
	select {
	case <-time.After(wait):
		return true
	case <-k.signals:
		return false
	case o := <-k.orders:
		if o.op != control.Restart {
			return false
		}
		*waiting = append(*waiting, o.done)
		return true
	}
}

// phase writes the state.
func (k *keeper) phase(name string) {
	k.state.Phase, k.state.Since = name, time.Now()
	if name != vmdir.Restarting {
		k.state.Next = time.Time{}
	}
	k.save()
}

func (k *keeper) save() {
	if k.dir == nil {
		return
	}
	k.state.Holder = self()
	if err := k.dir.SetState(k.state); err != nil {
		k.note("the state of the VM cannot be written: %v", err)
	}
}

// self names this process.
var self = sync.OnceValue(func() vmdir.Process {
	p, err := vmdir.ProcessOf(os.Getpid())
	if err != nil {
		p.PID = os.Getpid()
	}
	return p
})

// serve answers the requests that come through the VM's socket.
func (k *keeper) serve() (stop func()) {
	if k.dir == nil {
		return func() {}
	}
	l, err := control.Listen(k.dir.Path)
	if err != nil {
		k.note("other commands cannot reach this VM: %v", err)
		return func() {}
	}
	go l.Serve(k.handle)
	return func() {
		l.Close()
		l.Drain(drainWait)
	}
}

// handle does what one request asks for.
func (k *keeper) handle(q control.Request) (control.Reply, func(io.ReadWriter)) {
	o := order{op: q.Op, sig: syscall.SIGTERM, grace: q.Grace}
	switch q.Op {
	case control.Attach:
		if k.log == nil {
			return control.Reply{Error: "the VM runs in the foreground: its console is the terminal of yolk run"}, nil
		}
		return control.Reply{}, func(c io.ReadWriter) { k.input.take(c) }
	case control.Ask:
		return k.ask()
	case control.Restart:
		return k.restart(o), nil
	case control.Stop, control.Kill:
		select {
		case k.orders <- o:
		case <-k.finished:
		}
	case control.Wait:
	default:
		return control.Reply{Error: fmt.Sprintf("unknown request %q: the VM's yolk is of another version", q.Op)}, nil
	}
	<-k.finished
	return control.Reply{End: &k.end}, nil
}

// restart waits until the VM runs again.
func (k *keeper) restart(o order) control.Reply {
	if k.log == nil {
		return control.Reply{Error: "the VM runs in the foreground: start it again there"}
	}
	done := make(chan error, 1)
	o.done = done
	select {
	case k.orders <- o:
	case <-k.finished:
		return control.Reply{Error: "the VM has just ended"}
	}
	select {
	case err := <-done:
		if err != nil {
			return control.Reply{Error: err.Error()}
		}
	case <-k.finished:
		return control.Reply{Error: k.end.Reason}
	}
	return control.Reply{}
}

// input is where a VM without a terminal reads from: a pipe for each run, whose other end are those
// who attach.
type input struct {
	mu sync.Mutex
	w  *io.PipeWriter
}

// open begins the input of a run, and ends that of the one before.
func (in *input) open() io.Reader {
	r, w := io.Pipe()
	in.mu.Lock()
	old := in.w
	in.w = w
	in.mu.Unlock()
	if old != nil {
		old.CloseWithError(io.ErrClosedPipe)
	}
	return r
}

// take passes what r has to the VM that runs. What comes between two runs is lost, as what is typed at
// a machine that is off.
func (in *input) take(r io.Reader) {
	b := make([]byte, 4096)
	for {
		n, err := r.Read(b)
		in.mu.Lock()
		w := in.w
		in.mu.Unlock()
		if w != nil && n > 0 {
			w.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// probe asks the program whether it works.
type probe struct {
	check    health.Check
	addr     string // on the host
	settings health.Settings
}

// healthFinding is what a check has shown.
type healthFinding struct {
	state string
	err   error
}

// watch sends what each check shows, until the context ends.
func (p *probe) watch(ctx context.Context, found chan<- healthFinding) {
	t := health.NewTracker(p.settings, time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(t.Wait()):
		}
		asking, cancel := context.WithTimeout(ctx, t.Timeout())
		err := p.check.Ask(asking, p.addr)
		cancel()
		t.Add(time.Now(), err)
		select {
		case <-ctx.Done():
			return
		case found <- healthFinding{t.State(), err}:
		}
	}
}
