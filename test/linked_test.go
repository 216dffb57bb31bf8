package test

import (
	"debug/elf"
	"debug/gosym"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// An image carries the kernel's epoll, sockets and locks if its program has a package outside of the
// standard library that imports syscall, or links net; otherwise nothing in it can call them.
func TestCallsOnDemand(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{"./examples/hello": false, "./examples/web": true, "./test/testdata/calltable": true} {
		out := filepath.Join(t.TempDir(), "app.elf")
		if got := vm.Yolk(t, vm.Options{}, "build", "-o", out, target); got.Status != 0 {
			t.Errorf("yolk build %s: %+v", target, got)
			continue
		}
		image := functions(t, out)
		for _, name := range []string{"sysEpollWait", "sysSocket", "(*lockTable).wait"} {
			if got := image.LookupFunc("runtime/yolk/kernel."+name) != nil; got != want {
				t.Errorf("%s carries %s: %v", target, name, got)
			}
		}
		if image.LookupFunc("runtime/yolk/kernel.sysWrite") == nil {
			t.Errorf("%s does not carry sysWrite", target)
		}
	}
}

// functions reads an image's table of functions, which tracebacks use.
func functions(t *testing.T, path string) *gosym.Table {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, lines := f.Section(".text"), f.Section(".gopclntab")
	if text == nil || lines == nil {
		t.Fatalf("%s lacks a section", path)
	}
	data, err := lines.Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// What the standard library itself does needs none of the calls that are linked on demand.
func TestOnlyOS(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: "./test/testdata/onlyos"})
	if got.Stdout != "done\n" || got.Status != 0 {
		t.Errorf("%+v", got)
	}
}

// A program without package net that opens sockets has the network.
func TestOwnSockets(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: "./test/testdata/ownsockets"})
	const want = "socket <nil>\nbind <nil> <nil>\nconnect <nil> <nil>\naccept <nil>\n\"hello\" <nil>\naddresses true <nil>\n"
	if got.Stdout != want || got.Status != 0 {
		t.Errorf("%q; want %q\n%s", got.Stdout, want, got.Stderr)
	}
}

// Where nothing tells that a program opens sockets it has those of unix, but none of the internet, and a line says why.
func TestSocketsWithoutNet(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: "./test/testdata/nonet"})
	const inet = "inet address family not supported by protocol\n"
	const line = "yolk: there are no internet sockets: the program neither links package net nor calls Socket of package syscall or golang.org/x/sys/unix, either of which brings the network stack; import net somewhere\n"
	if want := "pair <nil>\n\"hello\" <nil>\nunix <nil> <nil>\n" + inet + inet; got.Stdout != want || !strings.Contains(got.Stderr, line) || got.Status != 0 {
		t.Errorf("%q; want %q\n%s", got.Stdout, want, got.Stderr)
	}
}
