// Package initstack makes what a program finds on its stack when it starts, as execve(2)
// does: argc, argv, envp and the auxiliary vector (System V ABI for AMD64, 3.4.1), from
// the words of the kernel command line (docs/running.md): arg0=NAME, arg=ARGUMENT and
// env.NAME=VALUE. On the way it finds the words that the machine half itself obeys.
// machine_boot.go of package runtime calls it when nothing can be allocated yet.
package initstack

import "github.com/yolk-unikernel/yolk/boot"

// Aux is an entry of the auxiliary vector (getauxval(3)).
type Aux struct{ Tag, Value uintptr }

const (
	defaultName = "/app"
	defaultPath = "PATH=/bin"
	defaultHome = "HOME=/root"

	defaults = len(defaultName) + len(defaultPath) + len(defaultHome) + 3 // with their NULs
)

// most returns how many arguments and variables a command line of n bytes can have: each
// needs a prefix of four, and a space.
func most(n int) int { return (n + 1) / 5 }

// Size returns how much memory Build needs for a command line of n bytes: words for the
// vectors, and bytes for the text.
func Size(n, aux int) (words, bytes int) {
	// argc; argv with its name and its end; envp with two defaults and its end.
	return 1 + most(n) + 2 + most(n) + 3 + 2*aux, n + 1 + defaults
}

// Options are what words tell the machine half (docs/memory.md).
type Options struct {
	Strict  bool // yolk.wx=strict: no new executable memory
	Audit   bool // yolk.audit: list the page tables, and end
	Unknown bool // yolk.wx= with another value: whoever asks for protection is not to run without
}

// stack is one that is being built.
type stack struct {
	options    Options
	words      []uintptr
	text       []byte
	at         uintptr // the address of text
	used       int     // bytes of text
	argc, envc int
	env        int // which of words is the first of envp, until they are moved together
}

// Build fills words, which lie at the program's stack pointer, a multiple of 16, and
// text, which lies at address at, above them. Both are as long as Size says. aux ends
// with an entry of tag 0.
func Build(words []uintptr, text []byte, at uintptr, line []byte, aux []Aux) Options {
	s := stack{words: words, text: text, at: at, argc: 1, env: 1 + most(len(line)) + 2}
	words[1] = 0
	for {
		word, rest, more := boot.NextWord(line, text[s.used:])
		if !more {
			break
		}
		line = rest
		s.word(word)
	}
	if words[1] == 0 {
		words[1] = s.add(defaultName)
	}
	s.setDefault(defaultPath)
	s.setDefault(defaultHome)

	words[0] = uintptr(s.argc)
	n := 1 + s.argc
	words[n] = 0
	n += 1 + copy(words[n+1:], words[s.env:s.env+s.envc])
	words[n] = 0
	for i, a := range aux {
		words[n+1+2*i], words[n+2+2*i] = a.Tag, a.Value
	}
	return s.options
}

// word takes a word, which lies at the end of the text; it stays there if it is an
// argument or a variable.
func (s *stack) word(word []byte) {
	n := len("arg=")
	if _, ok := boot.CutPrefix(word, "arg0="); ok {
		n = len("arg0=")
		s.words[1] = s.end(n)
	} else if _, ok := boot.CutPrefix(word, "arg="); ok {
		s.argc++
		s.words[s.argc] = s.end(n)
	} else if _, ok := boot.CutPrefix(word, "env."); ok {
		s.words[s.env+s.envc] = s.end(n)
		s.envc++
	} else {
		s.option(word)
		return
	}
	s.text[s.used+len(word)] = 0
	s.used += len(word) + 1
}

// option obeys a word if it is the machine half's.
func (s *stack) option(word []byte) {
	if wx, ok := boot.CutPrefix(word, "yolk.wx="); ok {
		strict := string(wx) == "strict"
		s.options.Strict = s.options.Strict || strict
		s.options.Unknown = s.options.Unknown || !strict
	}
	s.options.Audit = s.options.Audit || string(word) == "yolk.audit"
}

// end returns the address that is n bytes behind the end of the text.
func (s *stack) end(n int) uintptr { return s.at + uintptr(s.used+n) }

// add adds a string to the text and returns its address.
func (s *stack) add(v string) uintptr {
	p := s.end(0)
	s.used += copy(s.text[s.used:], v)
	s.text[s.used] = 0
	s.used++
	return p
}

// setDefault adds the variable NAME=VALUE unless there is one of that name.
func (s *stack) setDefault(v string) {
	name := 0
	for v[name] != '=' {
		name++
	}
	for _, p := range s.words[s.env : s.env+s.envc] {
		have := s.text[p-s.at : s.used]
		if len(have) > name && string(have[:name+1]) == v[:name+1] {
			return
		}
	}
	s.words[s.env+s.envc] = s.add(v)
	s.envc++
}
