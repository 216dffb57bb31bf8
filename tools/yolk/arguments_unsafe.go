package main

import (
	"os"
	"strings"
	"unsafe"
)

// takeArguments returns the arguments, and a function that masks those for which hide reports
// true in the memory that /proc/PID/cmdline shows to all users, proc_pid_cmdline(5). The Go runtime
// leaves them there.
func takeArguments() (args []string, mask func(hide func(i int) bool)) {
	shown := os.Args
	args = make([]string, len(shown))
	for i, a := range shown {
		args[i] = strings.Clone(a)
	}
	os.Args = args
	return args, func(hide func(i int) bool) {
		for i, a := range shown {
			if hide(i) {
				b := unsafe.Slice(unsafe.StringData(a), len(a))
				for j := range b {
					b[j] = '*'
				}
			}
		}
	}
}
