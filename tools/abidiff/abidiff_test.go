package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// compared returns both kernels; it skips the test where Linux does not give the process what
// that side needs.
func compared(t *testing.T, o pairOptions) *pair {
	t.Helper()
	p, err := newPair(o)
	if err != nil {
		t.Skipf("%v: %s", err, needs)
	}
	t.Cleanup(p.close)
	return p
}

// onEdited says that this program is built on gVisor as images have it: TestEditedStack of
// tools/internal/toolchain runs these tests so. The family internet needs that.
var onEdited = os.Getenv("YOLK_TEST_EDITED") != ""

// withNetwork is compared with a network; nil if the stack is not the images'.
func withNetwork(t *testing.T) *pair {
	if !onEdited {
		return nil
	}
	return compared(t, pairOptions{internet: true})
}

// The sequences of testdata show no difference: each was shrunk from one that did.
func TestCorpus(t *testing.T) {
	pairs := map[string]*pair{
		"disk.txt":    compared(t, pairOptions{onDisk: true}),
		"waiting.txt": compared(t, pairOptions{waiting: true}),
	}
	pairs["internet.txt"] = withNetwork(t)
	memory := compared(t, pairOptions{})
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata (%v)", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, named := pairs[filepath.Base(name)]
		switch {
		case !named:
			p = memory
		case p == nil:
			continue
		}
		for _, c := range cases(string(text)) {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+c.name, func(t *testing.T) { replay(t, p, c.steps) })
		}
	}
}

// A testCase is a sequence with the comment above it as its name.
type testCase struct{ name, steps string }

// cases splits a file of testdata: sequences are separated by empty lines and begin with a
// comment that names them.
func cases(text string) []testCase {
	var list []testCase
	for part := range strings.SplitSeq(text, "\n\n") {
		part = strings.TrimSpace(part)
		name, steps, _ := strings.Cut(part, "\n")
		if part != "" {
			list = append(list, testCase{strings.TrimSpace(strings.TrimLeft(name, "# ")), steps})
		}
	}
	return list
}

// replay fails if a sequence shows a difference.
func replay(t *testing.T, p *pair, text string) {
	t.Helper()
	steps, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.compare(steps)
	if err != nil {
		t.Fatal(err)
	}
	if d != nil {
		t.Errorf("the kernels differ:\n%s", d)
	}
}

// The sequences of some seeds show only differences that are listed: with files in memory and on a
// disk, and with a second actor. make abi-diff draws more.
func TestSeeds(t *testing.T) {
	for name, c := range map[string]struct {
		with      pairOptions
		families  []string
		sequences uint64
	}{
		"memory":   {with: pairOptions{}, sequences: 900},
		"disk":     {with: pairOptions{onDisk: true}, sequences: 900},
		"waiting":  {with: pairOptions{waiting: true}, families: []string{"waiting", "pipes", "descriptors", "sockets", "poll", "timers"}, sequences: 150},
		"internet": {with: pairOptions{internet: true}, families: []string{"internet", "descriptors", "poll"}, sequences: 600},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with.internet && !onEdited {
				t.Skip("needs the edits of netstack/gvisor")
			}
			p := compared(t, c.with)
			for seq := range c.sequences {
				checkSeed(t, p, seq, c.families)
			}
		})
	}
}

// checkSeed draws one sequence.
func checkSeed(t *testing.T, p *pair, seq uint64, families []string) {
	t.Helper()
	d, err := p.one(newGenerator(1, seq, p.guest, families), 60)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil || listed(d) != nil {
		return
	}
	if again, err := p.compare(d.steps); err != nil || again == nil {
		return // what Linux did in the background
	}
	if d, err = p.shrink(d); err != nil {
		t.Fatal(err)
	}
	t.Errorf("sequence %d:\n%s", seq, d)
}

// What is printed can be read again: replays are what was drawn.
func TestTextRoundTrip(t *testing.T) {
	w := newGuest().w
	for seq := range uint64(50) {
		if err := w.restart(); err != nil {
			t.Fatal(err)
		}
		g := newGenerator(1, seq, w, nil)
		for range 60 {
			s := g.next()
			w.guarded(&s)
			again, err := parseStep(s.String())
			if err != nil {
				t.Fatalf("%s: %v", s.String(), err)
			}
			if again.String() != s.String() {
				t.Fatalf("read %s from %s", again.String(), s.String())
			}
			for i := range s.args {
				if s.args[i] != again.args[i] {
					t.Fatalf("%s: argument %d is %v, read %v", s.String(), i, s.args[i], again.args[i])
				}
			}
		}
	}
}

// Each listed difference shows in its own example, and by its own entry.
func TestKnown(t *testing.T) {
	const most = 60
	if len(knowns) > most {
		t.Errorf("%d differences are listed; at most %d may be", len(knowns), most)
	}
	memory, disk, network := compared(t, pairOptions{}), compared(t, pairOptions{onDisk: true}), withNetwork(t)
	for i := range knowns {
		k := &knowns[i]
		p := memory
		switch {
		case k.onDisk:
			p = disk
		case strings.Contains(k.example, "inet "):
			p = network
		}
		t.Run(k.name, func(t *testing.T) {
			if p == nil {
				t.Skip("needs the edits of netstack/gvisor")
			}
			steps, err := parse(k.example)
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.compare(steps)
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				t.Fatal("the example shows no difference any more: strike the entry off the list")
			}
			if got := listed(d); got != k {
				t.Errorf("the example's difference is not matched by its entry:\n%s", d)
			}
		})
	}
}
