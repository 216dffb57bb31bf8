// Package netcalls gives the network what only system calls of a program's own can ask of it, and
// package net never does. It is linked into programs that have package net, and a package outside of
// the standard library that imports syscall or golang.org/x/sys/unix (runtime/machine/linked). It
// initialises after package net of the wiring, when the cards have their addresses.
//
// Each kind of call has a file, whose function is called by start.
package netcalls

import (
	"github.com/yolk-unikernel/yolk/runtime/wiring/calls"
	"github.com/yolk-unikernel/yolk/runtime/wiring/net"
)

func init() { start() }

// start adds the calls to the machine's network.
func start() {
	startPackets()
	allowChanges(net.Stack, net.Netlink, addTun(net.Stack))
	addVsock()
	listSockets(net.Netlink, net.Stack, calls.UnixSockets())
}
