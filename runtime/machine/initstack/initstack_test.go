package initstack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/boot"
)

const (
	textAt = 0x7fffffff0000
	canary = 0xdead
)

var aux = []Aux{{6, 4096}, {25, 0x1234}, {0, 0}}

// program is what a C program's start code finds on its stack.
type program struct{ argv, envp []string }

// build builds a stack and reads it as the ABI says.
func build(t *testing.T, line []byte) (p program) {
	t.Helper()
	nwords, nbytes := Size(len(line), len(aux))
	words, text := make([]uintptr, nwords+1), make([]byte, nbytes+1)
	for i := range words {
		words[i] = canary // memory is not zeroed
	}
	for i := range text {
		text[i] = 0xaa
	}
	Build(words[:nwords], text[:nbytes], textAt, line, aux)
	if words[nwords] != canary || text[nbytes] != 0xaa {
		t.Fatalf("%q: Build wrote behind its memory", line)
	}
	str := func(addr uintptr) string {
		if addr < textAt || addr >= textAt+uintptr(nbytes) {
			t.Fatalf("%q: a string at %#x", line, addr)
		}
		s, _, ok := bytes.Cut(text[addr-textAt:nbytes], []byte{0})
		if !ok {
			t.Fatalf("%q: a string without an end", line)
		}
		return string(s)
	}
	argc, w := words[0], words[1:]
	for ; w[0] != 0; w = w[1:] {
		p.argv = append(p.argv, str(w[0]))
	}
	if int(argc) != len(p.argv) {
		t.Fatalf("%q: argc is %d; argv has %q", line, argc, p.argv)
	}
	for w = w[1:]; w[0] != 0; w = w[1:] {
		p.envp = append(p.envp, str(w[0]))
	}
	w = w[1:]
	for _, a := range aux {
		if w[0] != a.Tag || w[1] != a.Value {
			t.Fatalf("%q: auxiliary entry %d, %#x; want %v", line, w[0], w[1], a)
		}
		w = w[2:]
	}
	return p
}

// want is the same, made of strings.
func want(line []byte) program {
	p := program{argv: []string{"/app"}}
	for {
		word, rest, more := boot.NextWord(line, make([]byte, len(line)))
		if !more {
			break
		}
		line = rest
		w, _, _ := strings.Cut(string(word), "\x00") // where C sees its end
		switch {
		case strings.HasPrefix(w, "arg0="):
			p.argv[0] = w[5:]
		case strings.HasPrefix(w, "arg="):
			p.argv = append(p.argv, w[4:])
		case strings.HasPrefix(w, "env."):
			p.envp = append(p.envp, w[4:])
		}
	}
	for _, v := range []string{"PATH=/bin", "HOME=/root"} {
		if !slices.ContainsFunc(p.envp, func(e string) bool { return strings.HasPrefix(e, v[:5]) }) {
			p.envp = append(p.envp, v)
		}
	}
	return p
}

func check(t *testing.T, line []byte) {
	t.Helper()
	if got, want := build(t, line), want(line); !slices.Equal(got.argv, want.argv) || !slices.Equal(got.envp, want.envp) {
		t.Errorf("%q:\nargv %q, envp %q; want\nargv %q, envp %q", line, got.argv, got.envp, want.argv, want.envp)
	}
}

func TestBuild(t *testing.T) {
	for _, c := range []struct {
		line       string
		argv, envp []string
	}{
		{"", []string{"/app"}, []string{"PATH=/bin", "HOME=/root"}},
		{"arg0=hello arg=-v arg=x", []string{"hello", "-v", "x"}, []string{"PATH=/bin", "HOME=/root"}},
		{"arg=1 env.A=b arg=2 arg0=late env.HOME=/h", []string{"late", "1", "2"}, []string{"A=b", "HOME=/h", "PATH=/bin"}},
		{`reboot=t "arg=two words" ip=dhcp "env.Q=\"\x41\"" arg=`, []string{"/app", "two words", ""}, []string{`Q="A"`, "PATH=/bin", "HOME=/root"}},
		{"env.PATHS=/x env.PATH=", []string{"/app"}, []string{"PATHS=/x", "PATH=", "HOME=/root"}},
		{"arg0=a arg0=b", []string{"b"}, []string{"PATH=/bin", "HOME=/root"}},
	} {
		got := build(t, []byte(c.line))
		if !slices.Equal(got.argv, c.argv) || !slices.Equal(got.envp, c.envp) {
			t.Errorf("%s: argv %q, envp %q; want %q, %q", c.line, got.argv, got.envp, c.argv, c.envp)
		}
	}
}

// All arguments of a long command line arrive, not a first few.
func TestManyWords(t *testing.T) {
	var line []byte
	for i := range 3000 {
		line = fmt.Appendf(line, "arg=%d env.V%d=%d ", i, i, i)
	}
	got := build(t, line)
	if len(got.argv) != 3001 || got.argv[3000] != "2999" || len(got.envp) != 3002 || got.envp[2999] != "V2999=2999" {
		t.Errorf("%d arguments and %d variables; want 3001 and 3002", len(got.argv), len(got.envp))
	}
	check(t, line)
	// The most that a length allows.
	for n := range 60 {
		check(t, []byte(strings.Repeat("arg= ", 12)[:n]))
		check(t, []byte(strings.Repeat("env. ", 12)[:n]))
	}
}

func TestModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 10))
	parts := []string{"arg=", "arg0=", "env.", "A=", "HOME=", "PATH", " ", " ", "\"", "\\", "\\x00", "x", "words", "\t", "arg", "=", "\x00"}
	for range 20000 {
		var line []byte
		for range r.IntN(30) {
			line = append(line, parts[r.IntN(len(parts))]...)
		}
		check(t, line)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add([]byte(`console=ttyS0 arg0=/app "arg=-name=\"x y\"" env.HOME=/ env.X arg=`))
	f.Add([]byte(`arg= arg= "arg0=\x00" env.`))
	f.Fuzz(check)
}

// The machine half's own words are found among others, which they are not arguments of.
func TestOptions(t *testing.T) {
	for line, want := range map[string]Options{
		"":                                 {},
		"arg=yolk.audit env.A=yolk.wx=no":  {},
		"yolk.audits yolk.wx yolk.wxx=1":   {},
		"arg=1 yolk.audit arg=2":           {Audit: true},
		"yolk.wx=strict":                   {Strict: true},
		"\"yolk.wx=strict\" arg=1":         {Strict: true},
		"yolk.wx=strict yolk.audit":        {Strict: true, Audit: true},
		"yolk.wx=":                         {Unknown: true},
		"yolk.wx=strict yolk.wx=no":        {Strict: true, Unknown: true},
		"yolk.wx=Strict":                   {Unknown: true},
		"yolk.wx=strict,now arg0=yolk.wx=": {Unknown: true},
	} {
		words, text := Size(len(line), len(aux))
		if got := Build(make([]uintptr, words), make([]byte, text), textAt, []byte(line), aux); got != want {
			t.Errorf("%q: %+v; want %+v", line, got, want)
		}
	}
}
