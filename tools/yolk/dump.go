package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
	"github.com/yolk-unikernel/yolk/tools/internal/snapshot"
)

const dumpHelp = `Usage: yolk dump                     list the VMs that run
       yolk dump [NAME|PID] FILE     write a core of one

Stops a VM that yolk run or yolk test has started, writes the program's memory
and threads to FILE as a Linux core, and lets the VM go on. NAME is that of
yolk run -name, or the program's; it may be left out when one VM runs. The image
must have been built without -ldflags -s and -w.

yolk run -core FILE writes the same when the program crashes.

Examples:
    yolk dump
    yolk dump web web.core
    dlv core IMAGE web.core          (IMAGE is printed by yolk dump)
`

func dumpCommand(_ context.Context, args []string) int {
	list, err := qemu.List()
	if err != nil {
		return fail("dump", err)
	}
	switch {
	case len(args) == 0:
		printRunning(os.Stdout, list, time.Now())
		return 0
	case len(args) > 2:
		return usage("dump", "want [NAME|PID] FILE; yolk dump -h explains")
	case len(args) == 1 && len(named(list, args[0])) > 0:
		return usage("dump", "name a file for the core, as in yolk dump %s app.core", args[0])
	}
	file := args[len(args)-1]
	vm, err := choose(list, args[:len(args)-1])
	if err != nil {
		return fail("dump", err)
	}
	if err := dump(vm, file); err != nil {
		return fail("dump", err)
	}
	return 0
}

// named returns the VMs with a name or process ID.
func named(list []qemu.Running, name string) (found []qemu.Running) {
	for _, r := range list {
		if r.Name == name || strconv.Itoa(r.PID) == name {
			found = append(found, r)
		}
	}
	return found
}

// choose finds the VM that the arguments name.
func choose(list []qemu.Running, name []string) (qemu.Running, error) {
	if len(name) > 0 {
		list = named(list, name[0])
	}
	switch {
	case len(list) == 1:
		return list[0], nil
	case len(list) > 1:
		return qemu.Running{}, errors.New("several VMs fit; name one by its PID (yolk dump lists them)")
	case len(name) > 0:
		return qemu.Running{}, fmt.Errorf("no VM %s runs; yolk dump lists those that do", name[0])
	}
	return qemu.Running{}, errors.New("no VM runs that this user has started with yolk")
}

func printRunning(w io.Writer, list []qemu.Running, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no VM runs")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PID\tNAME\tAGE\tIMAGE")
	for _, r := range list {
		fmt.Fprintf(t, "%d\t%s\t%v\t%s\n", r.PID, r.Name, now.Sub(r.Started).Round(time.Second), r.Image)
	}
	t.Flush()
}

// dump writes the core of a running VM.
func dump(vm qemu.Running, file string) error {
	im, err := snapshot.Open(vm.Image)
	if err != nil {
		return err
	}
	socket, err := vm.Socket()
	if err != nil {
		return err
	}
	c, err := qmp.Dial(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	return dumpCore(c, im, file)
}

// setCore checks at the start what would otherwise fail at the crash.
func (v *vmFlags) setCore(s string) error {
	path, err := filepath.Abs(s)
	if err != nil {
		return fmt.Errorf("-core: %w", err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("-core %s: %s is not a folder; make it first", s, filepath.Dir(path))
	}
	v.core = path
	return nil
}

// writeCore writes the core of a VM that has crashed.
func (v *vmFlags) writeCore(c *qmp.Client, im *snapshot.Image) {
	if err := dumpCore(c, im, v.core); err != nil {
		say("", "no core was written: %v", err)
	}
}

// dumpCore writes the core of the program in a VM and prints how to read it.
func dumpCore(c *qmp.Client, im *snapshot.Image, file string) error {
	m, err := snapshot.Capture(c, filepath.Dir(file))
	if err != nil {
		return err
	}
	defer m.Close()
	p, err := snapshot.Process(m, im)
	if err != nil {
		return err
	}
	if err := saveCore(file, p); err != nil {
		return err
	}
	say("", "core of %d threads written; read it with: dlv core %s %s", len(p.Threads), shellQuote(im.Path), shellQuote(file))
	return nil
}

// saveCore replaces the file when the core is complete. Only the user may read it, because it
// contains the program's secrets.
func saveCore(file string, p *core.Process) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".yolk-core-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = core.Write(f, p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
