package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
	"github.com/yolk-unikernel/yolk/tools/internal/vmlog"
)

const logsHelp = `Usage: yolk logs [-f] [-t] [-since WHEN] NAME

Prints what a VM in the background has written to its console, and what yolk had to
say of it (lines that begin with yolk:). The newest 10 to 20 MB are kept.

    -f            go on until the VM ends
    -t            print the time of each line, as yolk saw it, in UTC
    -since WHEN   leave out what is older: 10m, 24h, 2026-11-30, 2026-11-30T22:15:00,
                  or with a zone, 2026-11-30T22:15:00Z

Examples:
    yolk logs web
    yolk logs -f -since 1m web
    yolk logs -t web | grep error
`

// lookAgain is how often a log is looked at for more.
const lookAgain = 100 * time.Millisecond

func logsCommand(ctx context.Context, args []string) int {
	set := vmFlagSet("logs")
	var opt vmlog.Options
	follow := set.Bool("f", false, "")
	set.BoolVar(&opt.Stamps, "t", false, "")
	set.Func("since", "", func(s string) (err error) { opt.Since, err = parseSince(s, time.Now()); return })
	names, status, done := parseNames(set, args, logsHelp, 1)
	if done {
		return status
	}
	vm, err := vmdir.Find(names[0])
	if err != nil {
		return fail("logs", err)
	}
	if vm.Foreground {
		return fail("logs", fmt.Errorf("%s runs in the foreground: its console is the terminal of yolk run", vm.Name))
	}
	r, err := vmlog.NewReader(vm.Dir, os.Stdout, opt)
	if err == nil {
		defer r.Close()
		err = r.Copy()
		if *follow && err == nil {
			err = followLog(ctx, vm, r, lookAgain)
		}
	}
	if err != nil {
		return fail("logs", err)
	}
	return 0
}

// followLog copies what comes until the VM ends, or the context does.
func followLog(ctx context.Context, vm *vmdir.VM, r *vmlog.Reader, pause time.Duration) error {
	for {
		// Before the last look: what the VM has written is there when its end is.
		now, err := vmdir.Find(vm.Name)
		ended := err != nil || !now.Alive() || now.Created != vm.Created
		if err := r.Copy(); err != nil || ended {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// sinceForms are the forms of a time in the host's zone.
var sinceForms = []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"}

// parseSince reads a duration before now, or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := parseAge(s); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, form := range sinceForms {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("want a duration such as 10m, or a time such as 2026-11-30T22:15:00")
}
