package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/unixsock"
)

// A guest is the system of yolk: a kernel in this process, a new one for each sequence.
type guest struct {
	w *world
	k *kernel.Kernel
	m *guestMachine
	// net is the network, which all sequences share; nil: there is none.
	net *netstack.Stack
}

// guestMachine is the machine of the kernel's own tests, and counts the goroutines that wait.
type guestMachine struct {
	*kerneltest.Machine
	waiting atomic.Int64
}

func (m *guestMachine) Waiting(delta int) { m.waiting.Add(int64(delta)) }

// addCalls gives the kernel all its calls, once: there may be several guests.
var addCalls = sync.OnceFunc(kernel.AddCalls)

// guestPages is the memory of the guest's machine, in pages: 256 MiB.
const guestPages = 1 << 16

func newGuest() *guest {
	addCalls()
	g := &guest{m: &guestMachine{Machine: kerneltest.New(guestPages)}}
	g.w = newWorld(g)
	return g
}

func (g *guest) call(nr uintptr, a [6]uintptr) (r uintptr, e syscall.Errno) {
	r, _, n := g.k.Dispatch(nr, kernel.Args{N: a})
	return r, syscall.Errno(n)
}

// restart makes a new kernel, with what a program that links package net has.
func (g *guest) restart() error {
	if g.net != nil && g.k != nil { // connections end, and ports are free
		_, _ = g.w.raw(unix.SYS_CLOSE_RANGE, firstFD, 1<<31-1, 0)
	}
	if err := g.start(); err != nil {
		return err
	}
	return g.w.makeTree()
}

// start makes a new kernel.
func (g *guest) start() error {
	g.k = kernel.New(g.m, kernel.Options{})
	f := unixsock.New(g.k, func() syscall.Ucred { return syscall.Ucred{Pid: 1} })
	g.k.RegisterSocketFamily(syscall.AF_UNIX, f.Socket)
	g.k.RegisterSocketPair(syscall.AF_UNIX, f.Pair)
	if g.net != nil {
		g.net.RegisterSockets(g.k.RegisterSocketFamily)
	}
	for range firstFD - 3 {
		if _, e := g.w.raw(unix.SYS_DUP, 0); e != 0 {
			return fmt.Errorf("dup: %w", e)
		}
	}
	if _, e := g.w.raw(unix.SYS_UMASK, 0o022); e != 0 {
		return fmt.Errorf("umask: %w", e)
	}
	return nil
}
