package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
	"github.com/yolk-unikernel/yolk/tools/internal/vmlog"
)

const attachHelp = `Usage: yolk attach NAME

Shows what a VM in the background writes from now on, and sends it what is typed, line
by line. The end of the input on a terminal (Ctrl-D), and Ctrl-C, detach: the VM goes
on. The end of a pipe's input is not passed on, and the output goes on. If the VM
ends, the exit status is its own.

Examples:
    yolk attach repl
    echo status | timeout 5 yolk attach repl
`

// lookSoon is how often output is looked for while somebody types.
const lookSoon = 20 * time.Millisecond

func attachCommand(ctx context.Context, args []string) int {
	names, status, done := parseNames(vmFlagSet("attach"), args, attachHelp, 1)
	if done {
		return status
	}
	vm, err := vmdir.Find(names[0])
	if err == nil && !vm.Alive() {
		err = fmt.Errorf("%s does not run: %s; yolk logs %s has its output", vm.Name, vm.End.Reason, vm.Name)
	}
	if err != nil {
		return fail("attach", err)
	}
	status, err = attach(ctx, vm, os.Stdin, ui.IsTerminal(os.Stdin))
	if err != nil {
		return fail("attach", err)
	}
	return status
}

// attach connects input and standard output with the VM's console until the VM ends, the context
// does, or the input of a terminal.
func attach(ctx context.Context, vm *vmdir.VM, input io.Reader, terminal bool) (status int, err error) {
	r, err := vmlog.NewReader(vm.Dir, os.Stdout, vmlog.Options{End: true})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	c, err := control.Open(vm.Dir, control.Request{Op: control.Attach})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Reply(killWait); err != nil {
		return 0, err
	}
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	go func() {
		io.Copy(c, input)
		if terminal {
			detach()
		}
	}()
	if err := followLog(ctx, vm, r, lookSoon); err != nil {
		return 0, err
	}
	now, err := vmdir.Find(vm.Name)
	if err != nil {
		return 0, errors.New("the VM has been removed")
	}
	if now.Alive() {
		say("attach", "detached from %s, which goes on", vm.Name)
		return 0, nil
	}
	return now.End.Status, nil
}
