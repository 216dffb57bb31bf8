package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/health"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/restart"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

func isDetach(arg string) bool { return arg == "-d" || arg == "--d" }

// keeperSetter has the flags for a VM's life: its name, its ends and its health.
func (v *vmFlags) keeperSetter(name string) func(string) error {
	switch name {
	case "restart":
		return func(s string) (err error) { v.restart, err = restart.Parse(s); return }
	case "stop-timeout":
		return func(s string) error { return setSeconds("-stop-timeout", s, &v.stopTimeout) }
	case "health":
		return func(s string) error {
			c, err := health.Parse(s)
			v.health = &c
			return err
		}
	case "health-interval":
		return setDuration("-health-interval", &v.healthSettings.Interval, 100*time.Millisecond)
	case "health-start":
		return setDuration("-health-start", &v.healthSettings.Start, 0)
	case "health-retries":
		return func(s string) error {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1 || n > 1000 {
				return fmt.Errorf("-health-retries %s: want a number from 1 to 1000", s)
			}
			v.healthSettings.Retries = n
			return nil
		}
	}
	return nil
}

func (v *vmFlags) setName(s string) error {
	if !vmdir.ValidName(s) {
		return fmt.Errorf("-name %s: want letters, digits, dots, dashes and underscores, a letter or digit first, at most 64", s)
	}
	v.name = s
	return nil
}

// maxGrace is the longest time that a program may be given to end, in seconds.
const maxGrace = 24 * 60 * 60

func setSeconds(flag, s string, d *time.Duration) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxGrace {
		return fmt.Errorf("%s %s: want a number of seconds from 1 to %d", flag, s, maxGrace)
	}
	*d = time.Duration(n) * time.Second
	return nil
}

func setDuration(flag string, d *time.Duration, least time.Duration) func(string) error {
	return func(s string) error {
		n, err := time.ParseDuration(s)
		if err != nil || n < least || n > maxGrace*time.Second {
			return fmt.Errorf("%s %s: want a duration such as 5s, from %v to 24h", flag, s, least)
		}
		*d = n
		return nil
	}
}

// checkKeeper finds flags of a VM's life that need others.
func (v *vmFlags) checkKeeper() error {
	switch {
	case v.detach && v.print:
		return errors.New("-n prints a command line, and -d starts a VM: leave one out")
	case v.restart != restart.Policy{} && !v.detach:
		return errors.New("-restart is for a VM in the background: add -d")
	case v.health == nil && v.healthSettings != health.Defaults:
		return errors.New("-health-interval, -health-retries and -health-start need -health http:PORT/PATH or tcp:PORT")
	case v.health != nil && !slices.ContainsFunc(v.forwards, func(f qemu.Forward) bool { return f.Proto == "tcp" && f.Guest == v.health.Port }):
		return fmt.Errorf("-health %s: port %d of the guest is not forwarded; add -p :%d", v.health, v.health.Port, v.health.Port)
	}
	return nil
}
