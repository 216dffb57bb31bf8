package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

const stopHelp = `Usage: yolk stop [-t SECONDS] NAME...

Asks the programs in VMs to end, as SIGTERM would on a host, and waits for their
end. A VM that has not ended when the time is over is killed. A VM that was
stopped is not started again by its -restart.

    -t SECONDS     the time, in place of yolk run -stop-timeout (10 without it)

Examples:
    yolk stop web
    yolk stop -t 60 db web
`

const killHelp = `Usage: yolk kill NAME...

Ends VMs at once, as a loss of power would: what their programs have not written
to a disk is lost. yolk stop asks first.

Examples:
    yolk kill web
`

const restartHelp = `Usage: yolk restart [-t SECONDS] NAME...

Ends VMs as yolk stop does, and starts them again with the same image, flags and
ports. A VM that has ended already is started. Files of -files, -env-file and
-secret are read again for one that had ended.

    -t SECONDS     the time to end, in place of yolk run -stop-timeout

Examples:
    yolk restart web
    yolk restart -t 60 db
`

const waitHelp = `Usage: yolk wait NAME

Waits for the last end of a VM (one that -restart starts again has not ended), says
how it ended, and exits with the status that yolk run would have.

Examples:
    yolk wait job
    yolk run -d -name job ./job && yolk wait job && yolk rm job
`

const rmHelp = `Usage: yolk rm [-f] NAME...

Forgets VMs that have ended: their state and log go, and their names are free.

    -f             kill them first if they run

Examples:
    yolk rm job
    yolk rm -f web db
`

// vmFlagSet is the flags of a command that names VMs.
func vmFlagSet(cmd string) *flag.FlagSet {
	set := flag.NewFlagSet(cmd, flag.ContinueOnError)
	set.SetOutput(discard{})
	return set
}

// parseNames reads the flags of a command and the VMs that it names: at least one, and at most that
// many. If there is nothing more to do, done is true.
func parseNames(set *flag.FlagSet, args []string, help string, most int) (names []string, status int, done bool) {
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		return nil, 0, true
	case err != nil:
		return nil, usage(set.Name(), "%v; yolk %s -h explains", err, set.Name()), true
	case set.NArg() == 0:
		return nil, usage(set.Name(), "name a VM, as in yolk %s web; yolk ps lists them", set.Name()), true
	case set.NArg() > most:
		return nil, usage(set.Name(), "want one VM, not %d; yolk %s -h explains", set.NArg(), set.Name()), true
	}
	return set.Args(), 0, false
}

// many is more VMs than a command can name.
const many = 1 << 20

// graceFlag is -t, which is 0 if it is not given.
func graceFlag(set *flag.FlagSet) *time.Duration {
	d := new(time.Duration)
	set.Func("t", "", func(s string) error { return setSeconds("-t", s, d) })
	return d
}

// each does the same for several VMs, prints the name of each that it was done for, and returns the
// exit status.
func each(cmd string, names []string, do func(vm *vmdir.VM) error) int {
	status := 0
	for _, name := range names {
		vm, err := vmdir.Find(name)
		if err == nil {
			err = do(vm)
		}
		if err != nil {
			status = fail(cmd, err)
			continue
		}
		fmt.Println(name)
	}
	return status
}

func stopCommand(_ context.Context, args []string) int {
	set := vmFlagSet("stop")
	grace := graceFlag(set)
	names, status, done := parseNames(set, args, stopHelp, many)
	if done {
		return status
	}
	return each("stop", names, func(vm *vmdir.VM) error {
		if !vm.Alive() {
			return fmt.Errorf("%s does not run: %s", vm.Name, vm.End.Reason)
		}
		q := control.Request{Op: control.Stop, Grace: announceGrace("stop", vm, *grace)}
		r, err := control.Call(vm.Dir, q, 0)
		if err == nil && r.End != nil && r.End.Kind == vmdir.AfterGrace {
			say("stop", "%s was %s", vm.Name, r.End.Reason)
		}
		return endedAnyway(vm, err)
	})
}

// announceGrace says how long a VM has to end, and returns it.
func announceGrace(cmd string, vm *vmdir.VM, grace time.Duration) time.Duration {
	if grace == 0 {
		grace = time.Duration(vm.StopTimeout) * time.Second
	}
	if vm.Phase != vmdir.Restarting {
		say(cmd, "%s has %v to end, then it is killed", vm.Name, grace)
	}
	return grace
}

// endedAnyway is nil if the process that held a VM ended instead of answering: so has the VM.
func endedAnyway(vm *vmdir.VM, err error) error {
	if errors.Is(err, control.ErrGone) {
		return awaitRelease(vm)
	}
	return err
}

// releaseWait is how long a process may take to end after its VM.
const releaseWait = 10 * time.Second

// awaitRelease waits until nobody holds a VM.
func awaitRelease(vm *vmdir.VM) error {
	for end := time.Now().Add(releaseWait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now, err := vmdir.Find(vm.Name); err != nil || !now.Alive() {
			return nil
		}
	}
	return fmt.Errorf("%s: process %d holds the VM and does not answer; end it with yolk kill %s", vm.Name, vm.Holder.PID, vm.Name)
}

func killCommand(_ context.Context, args []string) int {
	names, status, done := parseNames(vmFlagSet("kill"), args, killHelp, many)
	if done {
		return status
	}
	return each("kill", names, func(vm *vmdir.VM) error {
		if !vm.Alive() {
			return fmt.Errorf("%s does not run: %s", vm.Name, vm.End.Reason)
		}
		return kill(vm)
	})
}

// killWait is how long the process that holds a VM may take to kill it.
const killWait = 5 * time.Second

// kill ends a VM. If the process that holds it does not, it ends that: QEMU ends with it.
func kill(vm *vmdir.VM) error {
	_, err := control.Call(vm.Dir, control.Request{Op: control.Kill}, killWait)
	if err == nil || errors.Is(err, control.ErrGone) {
		return awaitRelease(vm)
	}
	say("kill", "%s: %v: it is killed, too", vm.Name, err)
	if err := vm.Holder.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return awaitRelease(vm)
}

func restartCommand(ctx context.Context, args []string) int {
	set := vmFlagSet("restart")
	grace := graceFlag(set)
	names, status, done := parseNames(set, args, restartHelp, many)
	if done {
		return status
	}
	failed := 0
	status = each("restart", names, func(vm *vmdir.VM) error {
		if vm.Alive() {
			q := control.Request{Op: control.Restart, Grace: announceGrace("restart", vm, *grace)}
			_, err := control.Call(vm.Dir, q, 0)
			return err
		}
		s, err := again(vm)
		if err != nil {
			return err
		}
		name, code, err := s.launch(ctx)
		if err == nil && name == "" {
			failed = code
			err = fmt.Errorf("%s was not started", vm.Name)
		}
		return err
	})
	if status != 0 && failed != 0 {
		return failed
	}
	return status
}

func waitCommand(ctx context.Context, args []string) int {
	names, status, done := parseNames(vmFlagSet("wait"), args, waitHelp, 1)
	if done {
		return status
	}
	end, err := wait(names[0])
	if err != nil {
		return fail("wait", err)
	}
	say("wait", "%s: %s", names[0], end.Reason)
	return end.Status
}

// wait waits for a VM's last end.
func wait(name string) (*vmdir.End, error) {
	vm, err := vmdir.Find(name)
	if err != nil {
		return nil, err
	}
	if vm.Alive() {
		r, err := control.Call(vm.Dir, control.Request{Op: control.Wait}, 0)
		if err == nil && r.End != nil {
			return r.End, nil
		}
		if err := endedAnyway(vm, err); err != nil {
			return nil, err
		}
		if vm, err = vmdir.Find(name); err != nil {
			return nil, err
		}
	}
	return vm.End, nil
}

func rmCommand(_ context.Context, args []string) int {
	set := vmFlagSet("rm")
	force := set.Bool("f", false, "")
	names, status, done := parseNames(set, args, rmHelp, many)
	if done {
		return status
	}
	return each("rm", names, func(vm *vmdir.VM) error {
		if vm.Alive() {
			if !*force {
				return fmt.Errorf("%s runs: end it with yolk stop %s, or kill and remove it with yolk rm -f %s", vm.Name, vm.Name, vm.Name)
			}
			if err := kill(vm); err != nil {
				return err
			}
			if vm.Foreground { // it has gone with its process
				return nil
			}
		}
		dir, err := vmdir.Reopen(vm.Name)
		if err != nil {
			return err
		}
		return dir.Remove()
	})
}
