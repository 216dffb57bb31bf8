package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// familyNames returns the names of all families.
func familyNames() string {
	return strings.Join(slices.Sorted(maps.Keys(families)), ", ")
}

// A report counts what a run has found.
type report struct {
	ops, sequences int
	known          map[string]int
	found          []*difference
	again          int
	unstable       int
	began, shown   time.Time
}

// run draws sequences until there have been enough calls; it returns whether there are
// differences that are not listed.
func run(ctx context.Context, o *options) (bool, error) {
	for _, f := range o.families {
		if families[f] == nil {
			return false, fmt.Errorf("there is no family %s; there are %s", f, familyNames())
		}
	}
	p, err := newPair(pairOptions{o.onDisk, slices.Contains(o.families, "internet"), slices.Contains(o.families, "waiting")})
	if err != nil {
		return false, fmt.Errorf("%w (%s)", err, needs)
	}
	defer p.close()
	if o.replay != "" {
		return replayFile(p, o.replay)
	}
	r := &report{known: map[string]int{}, began: time.Now()}
	r.shown = r.began
	err = r.draw(ctx, p, o)
	r.print(o)
	return len(r.found) > 0, err
}

// draw runs sequences.
func (r *report) draw(ctx context.Context, p *pair, o *options) error {
	for seq := uint64(0); r.ops < o.ops && len(r.found) < o.keep && ctx.Err() == nil; seq++ {
		d, err := p.one(newGenerator(o.seed, seq, p.guest, o.families), o.length)
		if err != nil {
			return err
		}
		r.ops += o.length
		r.sequences++
		if d != nil {
			if err := r.take(p, d); err != nil {
				return err
			}
		}
		r.progress()
	}
	return nil
}

// one draws and compares one sequence.
func (p *pair) one(g *generator, length int) (*difference, error) {
	steps, yolk, err := p.generate(g, length)
	if err != nil {
		return nil, fmt.Errorf("yolk: %w", err)
	}
	p.asked <- steps
	linux := <-p.answered
	if linux.err != nil {
		return nil, fmt.Errorf("the Linux side: %w", linux.err)
	}
	d := firstDifference(steps, linux.trace, yolk, p.guest.onDisk)
	if d != nil && p.guest.late { // once more, now knowing what to wait for
		return p.compare(steps)
	}
	return d, nil
}

// take counts a difference. One that is not listed is shrunk, and printed if it is new.
func (r *report) take(p *pair, d *difference) error {
	if k := listed(d); k != nil {
		r.known[k.name]++
		return nil
	}
	again, err := p.compare(d.steps)
	if err != nil {
		return err
	}
	if again == nil || again.at != d.at {
		r.unstable++
		return nil
	}
	d, err = p.shrink(d)
	if err != nil {
		return err
	}
	for _, f := range r.found {
		if sameOp(f.step(), d.step()) && f.signature() == d.signature() {
			r.again++
			return nil
		}
	}
	r.found = append(r.found, d)
	fmt.Printf("# difference %d, as a case of tools/abidiff/testdata:\n%s\n", len(r.found), d)
	return nil
}

// signature is what differences that are the same have in common: what both sides say.
func (d *difference) signature() string {
	l, _, _ := strings.Cut(d.linux, " ")
	y, _, _ := strings.Cut(d.yolk, " ")
	return l + "/" + y
}

// progress prints a line every two seconds, if anybody looks.
func (r *report) progress() {
	if now := time.Now(); now.Sub(r.shown) > 2*time.Second {
		r.shown = now
		fmt.Fprintf(os.Stderr, "%d calls, %.0f a second, %d differences\n", r.ops, float64(r.ops)/now.Sub(r.began).Seconds(), len(r.found))
	}
}

// print prints the summary.
func (r *report) print(o *options) {
	fmt.Printf("%d calls in %d sequences of seed %d, %.0f a second: %d differences", r.ops, r.sequences, o.seed,
		float64(r.ops)/time.Since(r.began).Seconds(), len(r.found))
	if r.again > 0 {
		fmt.Printf(" (seen %d times more)", r.again)
	}
	if r.unstable > 0 {
		fmt.Printf(", %d that did not come again", r.unstable)
	}
	fmt.Println()
	for _, name := range slices.Sorted(maps.Keys(r.known)) {
		fmt.Printf("  listed: %s, %d sequences\n", name, r.known[name])
	}
}

// replayFile compares the sequence in a file.
func replayFile(p *pair, name string) (bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	steps, err := parse(string(text))
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	d, err := p.compare(steps)
	if err != nil {
		return false, err
	}
	if d == nil {
		fmt.Printf("%d calls: no difference\n", len(steps))
		return false, nil
	}
	fmt.Print(d)
	return listed(d) == nil, nil
}
