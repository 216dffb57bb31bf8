package main

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attribute is the name of an extended attribute.
var attribute = &kind{
	draw: func(g *generator) (value, bool) {
		list := []string{"user.a", "user.a", "user.b", "user.long-name", "trusted.a", "user.", "user", "odd.a", "", "user." + strings.Repeat("n", 251)}
		return value{s: list[g.n(len(list))]}, true
	},
	text:    path.text,
	parse:   path.parse,
	simpler: func(v value) []value { return nil },
	push:    path.push,
}

var xattrFlags = flags([]flagName{{"XATTR_CREATE", unix.XATTR_CREATE}, {"XATTR_REPLACE", unix.XATTR_REPLACE}}, []int64{0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE, 3, 4})

// xattrOps are calls on extended attributes, which only files on disks have.
var xattrOps = []*op{
	{name: "setxattr", args: []*kind{path, attribute, input, xattrFlags}, weight: 3, run: runSetxattr(unix.SYS_SETXATTR)},
	{name: "lsetxattr", args: []*kind{path, attribute, input, xattrFlags}, weight: 1, run: runSetxattr(unix.SYS_LSETXATTR)},
	{name: "fsetxattr", args: []*kind{slot(isAny), attribute, input, xattrFlags}, weight: 1, run: runSetxattr(unix.SYS_FSETXATTR)},
	{name: "getxattr", args: []*kind{path, attribute, output}, weight: 3, run: runGetxattr},
	{name: "fgetxattr", args: []*kind{slot(isAny), attribute, output}, weight: 1, run: runFgetxattr},
	{name: "listxattr", args: []*kind{path, output}, weight: 3, run: runListxattr},
	{name: "removexattr", nr: unix.SYS_REMOVEXATTR, args: []*kind{path, attribute}, weight: 2},
	{name: "fremovexattr", nr: unix.SYS_FREMOVEXATTR, args: []*kind{slot(isAny), attribute}, weight: 1},
}

// runSetxattr is setxattr(2), lsetxattr(2) or fsetxattr(2). Values are short: ext4 has room for one block.
func runSetxattr(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		n := min(int(s.args[2].n>>8), 1000)
		b, at := w.mem.room(n)
		fill(b, int(s.args[2].n&0xff))
		of := uintptr(w.fd(s.args[0]))
		if nr != unix.SYS_FSETXATTR {
			of = w.mem.put(s.args[0].s)
		}
		w.result(w.raw(nr, of, w.mem.put(s.args[1].s), at, uintptr(n), uintptr(s.args[3].n)))
	}
}

// runGetxattr is getxattr(2).
func runGetxattr(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	r, e := w.raw(unix.SYS_GETXATTR, w.mem.put(s.args[0].s), w.mem.put(s.args[1].s), at, uintptr(len(b)))
	w.result(r, e)
	if e == 0 {
		w.quote(b[:min(int(r), len(b))])
	}
}

// runFgetxattr is fgetxattr(2).
func runFgetxattr(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	r, e := w.raw(unix.SYS_FGETXATTR, uintptr(w.fd(s.args[0])), w.mem.put(s.args[1].s), at, uintptr(len(b)))
	w.result(r, e)
	if e == 0 {
		w.quote(b[:min(int(r), len(b))])
	}
}

// runListxattr is listxattr(2); the names come in no order that would be promised.
func runListxattr(w *world, s *step) {
	b, at := w.mem.room(int(s.args[1].n))
	r, e := w.raw(unix.SYS_LISTXATTR, w.mem.put(s.args[0].s), at, uintptr(len(b)))
	w.result(r, e)
	if e != 0 || len(b) == 0 {
		return
	}
	list := strings.Split(strings.TrimSuffix(string(b[:r]), "\x00"), "\x00")
	slices.Sort(list)
	w.note(" %q", list)
}
