// Package filters lets programs attach filters to unix sockets (SO_ATTACH_FILTER of socket(7)). It is
// linked into programs with a package outside of the standard library that imports syscall or
// golang.org/x/sys/unix (runtime/machine/linked). Package netcalls does the same for the network's.
package filters

import (
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/runtime/wiring/calls"
)

func init() { calls.UnixSockets().UseFilters(bpf.NewFilter) }
