package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

const psHelp = `Usage: yolk ps [-a] [-json]

Lists the VMs that this user has started with yolk run, and that run: name, age,
ports, RAM, state and health.

    -a       list those that have ended, too, with the reason of their end
    -json    print a list of JSON objects (docs/vm.schema.json)

Examples:
    yolk ps
    yolk ps -a
    yolk ps -json | jq -r '.[] | select(.health == "unhealthy") | .name'
`

const inspectHelp = `Usage: yolk inspect NAME

Prints all that is known of a VM as JSON (docs/vm.schema.json): image, flags, ports,
processes, state, health, and how it ended. Values of variables are left out.

Examples:
    yolk inspect web
    yolk inspect web | jq .end.reason
`

func psCommand(_ context.Context, args []string) int {
	set := vmFlagSet("ps")
	all, asJSON := set.Bool("a", false, ""), set.Bool("json", false, "")
	if status, done := parseNone(set, args, psHelp); done {
		return status
	}
	list, err := vmdir.List()
	if err != nil {
		return fail("ps", err)
	}
	shown := []vmdir.VM{}
	for _, vm := range list {
		if *all || vm.Alive() {
			shown = append(shown, vm)
		}
	}
	if *asJSON {
		for i := range shown {
			hideValues(&shown[i])
		}
		return printJSON("ps", shown)
	}
	printVMs(os.Stdout, shown, time.Now())
	return 0
}

// parseNone reads the flags of a command that takes no arguments.
func parseNone(set *flag.FlagSet, args []string, help string) (status int, done bool) {
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		return 0, true
	case err != nil:
		return usage(set.Name(), "%v; yolk %s -h explains", err, set.Name()), true
	case set.NArg() > 0:
		return usage(set.Name(), "unknown argument %s; yolk %s -h explains", set.Arg(0), set.Name()), true
	}
	return 0, false
}

func printJSON(cmd string, value any) int {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fail(cmd, err)
	}
	return 0
}

// printVMs prints a table.
func printVMs(w io.Writer, list []vmdir.VM, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tAGE\tPORTS\tRAM\tSTATE\tHEALTH")
	for i := range list {
		vm := &list[i]
		fmt.Fprintf(t, "%s\t%v\t%s\t%dM\t%s\t%s\n", vm.Name, age(vm, now), portsOf(vm), vm.Memory>>20, stateOf(vm, now), orDash(vm.State.Health))
	}
	t.Flush()
}

// age is the time since the last start of a VM that runs, or since it was made.
func age(vm *vmdir.VM, now time.Time) time.Duration {
	since := vm.Started
	if !vm.Alive() {
		since = vm.Created
	}
	return max(now.Sub(since).Round(time.Second), 0)
}

func portsOf(vm *vmdir.VM) string {
	var words []string
	for _, p := range vm.Ports {
		word := fmt.Sprintf("%s→%d", p.Host, p.Guest)
		if p.Proto == "udp" {
			word += "/udp"
		}
		words = append(words, word)
	}
	return orDash(strings.Join(words, " "))
}

// stateOf is the state with what a person wants to know of it.
func stateOf(vm *vmdir.VM, now time.Time) string {
	switch {
	case vm.Phase == vmdir.Restarting:
		return fmt.Sprintf("restarting in %v (%s)", max(vm.Next.Sub(now).Round(100*time.Millisecond), 0), vm.End.Reason)
	case vm.Phase == vmdir.Ended:
		return fmt.Sprintf("%s (%s, %d)", vm.Phase, vm.End.Reason, vm.End.Status)
	case vm.Phase == vmdir.Lost:
		return fmt.Sprintf("%s (%s)", vm.Phase, vm.End.Reason)
	case vm.Foreground:
		return vm.Phase + " in the foreground"
	case vm.Restarts > 0:
		return fmt.Sprintf("%s (restarts: %d)", vm.Phase, vm.Restarts)
	}
	return vm.Phase
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func inspectCommand(_ context.Context, args []string) int {
	names, status, done := parseNames(vmFlagSet("inspect"), args, inspectHelp, 1)
	if done {
		return status
	}
	vm, err := vmdir.Find(names[0])
	if err != nil {
		return fail("inspect", err)
	}
	hideValues(vm)
	return printJSON("inspect", vm)
}

// hideValues leaves out the values of variables, which may be secrets: what is printed is pasted
// into reports.
func hideValues(vm *vmdir.VM) {
	if vm.Start == nil {
		return
	}
	for i, kv := range vm.Start.Variables {
		name, _, _ := strings.Cut(kv, "=")
		vm.Start.Variables[i] = name
	}
	for i, f := range vm.Start.Flags {
		switch before := i > 0 && (vm.Start.Flags[i-1] == "-e" || vm.Start.Flags[i-1] == "--e"); {
		case before:
			name, _, _ := strings.Cut(f, "=")
			vm.Start.Flags[i] = name
		case strings.HasPrefix(f, "-e=") || strings.HasPrefix(f, "--e="):
			name, _, _ := strings.Cut(f[strings.IndexByte(f, '=')+1:], "=")
			vm.Start.Flags[i] = "-e=" + name
		}
	}
}
