package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A kind is a type of argument: how it is drawn, written, simplified and passed to a kernel.
type kind struct {
	// draw returns a random value; false if the sequence has nothing that would do.
	draw func(g *generator) (value, bool)
	// text and parse are each other's reverse; text has no spaces.
	text  func(v value) string
	parse func(word string) (value, error)
	// simpler returns values to try in its place, the simplest first.
	simpler func(v value) []value
	// push adds the argument, or a buffer and its size, to the call that is being made. It
	// returns the memory that it has placed.
	push func(w *world, v value) []byte
	// show shows what the call has stored in that memory; nil: nothing.
	show func(w *world, v value, memory []byte, r uintptr, e syscall.Errno)
}

// slotKind is a set of kinds of descriptors.
type slotKind uint32

const (
	isFile slotKind = 1 << iota
	isDir
	isName // opened with O_PATH
	isPipeIn
	isPipeOut
	isEvent
	isEpoll
	isTimer
	isInotify
	isStream
	isDatagram
	isSequenced
	isListener

	isSocket = isStream | isDatagram | isSequenced | isListener
	isPipe   = isPipeIn | isPipeOut
	isAny    = ^slotKind(0)
)

func parseSlot(word string) (int64, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(word, "s"))
	if err != nil || n < 0 || n >= slotCount || !strings.HasPrefix(word, "s") {
		return 0, fmt.Errorf("%s is not one of s0 to s%d", word, slotCount-1)
	}
	return int64(n), nil
}

// slot is a descriptor of one of the kinds in want, rarely one of another kind.
func slot(want slotKind) *kind {
	return &kind{
		draw: func(g *generator) (value, bool) { return g.slot(want) },
		text: func(v value) string { return "s" + strconv.FormatInt(v.n, 10) },
		parse: func(word string) (value, error) {
			n, err := parseSlot(word)
			return value{n: n}, err
		},
		push: func(w *world, v value) []byte { w.push(uintptr(w.fd(v))); return nil },
	}
}

// newSlot is a slot for a descriptor that the call stores in memory. Its op has a function run.
var newSlot = &kind{
	draw:  func(g *generator) (value, bool) { return g.freeSlot() },
	text:  slot(0).text,
	parse: slot(0).parse,
}

// at is the directory descriptor of the calls whose names end in at: AT_FDCWD or a slot.
var at = &kind{
	draw: func(g *generator) (value, bool) {
		if v, ok := g.slot(isDir); ok && g.chance(25) {
			return v, true
		}
		return value{n: unix.AT_FDCWD}, true
	},
	text: func(v value) string {
		if v.n == unix.AT_FDCWD {
			return "cwd"
		}
		return slot(0).text(v)
	},
	parse: func(word string) (value, error) {
		if word == "cwd" {
			return value{n: unix.AT_FDCWD}, nil
		}
		return slot(0).parse(word)
	},
	simpler: func(value) []value { return []value{{n: unix.AT_FDCWD}} },
	push: func(w *world, v value) []byte {
		w.push(uintptr(w.dir(v)))
		return nil
	},
}

// dir returns the descriptor that an argument of the kind at stands for.
func (w *world) dir(v value) int {
	if v.n == unix.AT_FDCWD {
		return unix.AT_FDCWD
	}
	return w.fd(v)
}

// names are the paths that sequences use: few, so that calls meet.
var names = []string{
	"a", "b", "c", "d", "e", "d/a", "d/b", "d/c", "d/e", "d/e/a", "e/a", "e/d", "l", "m", "d/l",
}

// oddNames are names that the resolution of paths treats in special ways.
var oddNames = []string{
	".", "..", "d/.", "d/..", "d/", "a/", "e/", "l/", "l/a", "m/a", "a/b", "missing/a", "", "./a", "d//a", "d/../a",
	workDir + "/a", workDir + "/d", "d/e/..", "l/..", strings.Repeat("n", 255), strings.Repeat("n", 256),
	strings.Repeat("./", 2047) + "a", strings.Repeat("./", 2048), "../w/a",
}

var path = &kind{
	draw: func(g *generator) (value, bool) {
		if g.chance(7) {
			return value{s: oddNames[g.n(len(oddNames))]}, true
		}
		return value{s: names[g.n(len(names))]}, true
	},
	text:  func(v value) string { return quotePath(v.s) },
	parse: func(word string) (value, error) { s, err := unquotePath(word); return value{s: s}, err },
	simpler: func(v value) []value {
		if len(v.s) > 1 {
			return []value{{s: "a"}, {s: "d"}, {s: "d/a"}}
		}
		return nil
	},
	push: func(w *world, v value) []byte { w.push(w.mem.put(v.s)); return nil },
}

// quotePath writes a path as a word. Long ones are written as a part and how often it occurs.
func quotePath(s string) string {
	switch {
	case s == "":
		return `""`
	case len(s) > 40 && strings.Count(s, s[:1]) == len(s):
		return s[:1] + "*" + strconv.Itoa(len(s))
	case len(s) > 40 && strings.HasPrefix(s, "././"):
		n := strings.Count(s, "./")
		return "./*" + strconv.Itoa(n) + s[2*n:]
	}
	return s
}

func unquotePath(word string) (string, error) {
	if word == `""` {
		return "", nil
	}
	part, rest, repeated := strings.Cut(word, "*")
	if !repeated {
		return word, nil
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	n, err := strconv.Atoi(rest[:digits])
	if err != nil || n > unix.PathMax {
		return "", errors.New("a repeated part of a path needs a number")
	}
	return strings.Repeat(part, n) + rest[digits:], nil
}

// number is an integer, one of some.
func number(choices ...int64) *kind {
	return &kind{
		draw:  func(g *generator) (value, bool) { return value{n: choices[g.n(len(choices))]}, true },
		text:  func(v value) string { return strconv.FormatInt(v.n, 10) },
		parse: parseNumber,
		simpler: func(v value) []value {
			return smaller(v.n, 0, 1, v.n/2)
		},
		push: func(w *world, v value) []byte { w.push(uintptr(v.n)); return nil },
	}
}

// smaller returns those of list that are nearer to 0 than n: simplifying must come to an end.
func smaller(n int64, list ...int64) []value {
	var out []value
	for _, v := range list {
		if v >= 0 && (n < 0 || v < n) {
			out = append(out, value{n: v})
		}
	}
	return out
}

func parseNumber(word string) (value, error) {
	n, err := strconv.ParseInt(word, 0, 64)
	return value{n: n}, err
}

// fixed is a number that has always the same value.
func fixed(n int64) *kind {
	k := number(n)
	k.simpler = nil
	return k
}

// octal is a file mode.
func octal(choices ...int64) *kind {
	k := number(choices...)
	k.text = func(v value) string { return "0" + strconv.FormatInt(v.n, 8) }
	return k
}

// A flagName is a bit, or some bits, with its name.
type flagName struct {
	name string
	bits int64
}

// flags is a set of bits. Each of choices is an alternative that is drawn as it is; more are bits
// that are added, each with a chance of one in eight. What keeps calls from waiting stays when a sequence is simplified:
// nothing may block.
func flags(list []flagName, choices []int64, more ...int64) *kind {
	return &kind{
		draw: func(g *generator) (value, bool) {
			v := choices[g.n(len(choices))]
			for _, m := range more {
				if g.n(8) == 0 {
					v |= m
				}
			}
			return value{n: v}, true
		},
		text:  func(v value) string { return flagText(list, v.n) },
		parse: func(word string) (value, error) { return parseFlags(list, word) },
		simpler: func(v value) []value {
			var out []value
			for _, f := range list {
				if f.bits != 0 && v.n&f.bits == f.bits && !isPatience(f.name) {
					out = append(out, value{n: v.n &^ f.bits})
				}
			}
			return out
		},
		push: func(w *world, v value) []byte { w.push(uintptr(v.n)); return nil },
	}
}

// isPatience reports whether a flag keeps a call from waiting.
func isPatience(name string) bool {
	return strings.HasSuffix(name, "NONBLOCK") || strings.HasSuffix(name, "DONTWAIT")
}

// flagText writes bits by their names; those without one as a number.
func flagText(list []flagName, n int64) string {
	var words []string
	for _, f := range list {
		if f.bits != 0 && n&f.bits == f.bits {
			words = append(words, f.name)
			n &^= f.bits
		}
	}
	if n != 0 || len(words) == 0 {
		words = append(words, "0x"+strconv.FormatInt(n, 16))
	}
	return strings.Join(words, "|")
}

func parseFlags(list []flagName, word string) (value, error) {
	var v value
next:
	for part := range strings.SplitSeq(word, "|") {
		for _, f := range list {
			if f.name == part {
				v.n |= f.bits
				continue next
			}
		}
		n, err := strconv.ParseInt(part, 0, 64)
		if err != nil {
			return v, fmt.Errorf("%s is neither a flag nor a number", part)
		}
		v.n |= n
	}
	return v, nil
}

// enum is one number of a list that has names.
func enum(list []flagName, choices ...int64) *kind {
	k := flags(list, choices)
	k.text = func(v value) string {
		for _, f := range list {
			if f.bits == v.n {
				return f.name
			}
		}
		return strconv.FormatInt(v.n, 10)
	}
	k.simpler = nil
	return k
}

// sizes are lengths of buffers: around pages, PIPE_BUF and the size of a pipe.
var sizes = []int64{0, 1, 2, 3, 5, 7, 8, 16, 100, 1000, 4095, 4096, 4097, 5000, 8192, 10000, 65536, 70000}

// maxBuffer is the largest of sizes.
const maxBuffer = 70000

// input is a buffer with data for the kernel, and its size: two arguments.
var input = &kind{
	draw: func(g *generator) (value, bool) { return value{n: g.size()<<8 | int64(g.n(26))}, true },
	text: func(v value) string { return fmt.Sprintf("%c*%d", byte('a'+v.n&0xff%26), v.n>>8) },
	parse: func(word string) (value, error) {
		first, size, ok := strings.Cut(word, "*")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || len(first) != 1 || n < 0 || n > maxBuffer {
			return value{}, errors.New("data are a letter, * and a size")
		}
		return value{n: int64(n)<<8 | int64(first[0]-'a')}, nil
	},
	simpler: func(v value) []value {
		return smaller(v.n, 1<<8, v.n>>9<<8, v.n&^0xff)
	},
	push: func(w *world, v value) []byte {
		b, at := w.mem.room(int(v.n >> 8))
		fill(b, int(v.n&0xff))
		w.push(at)
		w.push(uintptr(len(b)))
		return nil
	},
}

// fill writes letters, beginning with the one of that number; the position can be seen in them.
func fill(b []byte, first int) {
	for i := range b {
		b[i] = byte('a' + (first+i+i/26)%26)
	}
}

// output is a buffer that the kernel fills, and its size: two arguments.
var output = &kind{
	draw:  func(g *generator) (value, bool) { return value{n: g.size()}, true },
	text:  number(0).text,
	parse: parseSize,
	simpler: func(v value) []value {
		return smaller(v.n, 1, 8, v.n/2)
	},
	push: func(w *world, v value) []byte {
		b, at := w.mem.room(int(v.n))
		w.push(at)
		w.push(uintptr(len(b)))
		return b
	},
	show: func(w *world, _ value, b []byte, r uintptr, e syscall.Errno) {
		if e == 0 && r <= uintptr(len(b)) {
			w.quote(b[:r])
		}
	},
}

func parseSize(word string) (value, error) {
	v, err := parseNumber(word)
	if err == nil && (v.n < 0 || v.n > maxBuffer) {
		err = fmt.Errorf("a buffer has at most %d bytes", maxBuffer)
	}
	return v, err
}

// starts are positions in files; -1 stands for none.
var starts = number(-1, 0, 0, 1, 5, 10, 100, 4095, 4096, 5000, 8192, 10000, 65536, 1<<20, 1<<40)

// offsets are starts, and some that are no positions.
var offsets = number(0, 0, 1, 5, 10, 100, 4095, 4096, 5000, 8192, 10000, 65536, 1<<20, 1<<31, 1<<40, -1, 1<<63-1, -1<<63)
