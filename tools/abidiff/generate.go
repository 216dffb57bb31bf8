package main

import "math/rand/v2"

// A generator draws the steps of a sequence. It watches the world that makes them, to know which
// slots have which descriptors.
type generator struct {
	rand  *rand.Rand
	w     *world
	table []*op // each op as often as its weight says
	// taken is the slot that an argument of the step being drawn has taken; -1 for none.
	taken int
}

// newGenerator returns the generator of sequence number seq of a seed.
func newGenerator(seed, seq uint64, w *world, families []string) *generator {
	return &generator{rand: rand.New(rand.NewPCG(seed, seq)), w: w, table: weighted(families, w.onDisk)}
}

// n returns a random number below limit.
func (g *generator) n(limit int) int { return g.rand.IntN(limit) }

// chance is true in percent of 100 cases.
func (g *generator) chance(percent int) bool { return g.n(100) < percent }

// size returns the size of a buffer, mostly a small one.
func (g *generator) size() int64 {
	if g.chance(80) {
		return sizes[g.n(10)]
	}
	return sizes[g.n(len(sizes))]
}

// slot returns a slot with a descriptor of a kind in want. One in thirty times any slot will do,
// also one that is closed.
func (g *generator) slot(want slotKind) (value, bool) {
	if g.n(30) == 0 {
		return value{n: int64(g.n(slotCount))}, true
	}
	return g.pick(func(i int) bool { return g.w.kinds[i]&want != 0 })
}

// freeSlot returns a slot that has no descriptor and is not yet an argument of the step.
func (g *generator) freeSlot() (value, bool) {
	v, ok := g.pick(func(i int) bool { return g.w.kinds[i] == 0 && i != g.taken })
	g.taken = int(v.n)
	return v, ok
}

// pick returns a random slot of those for which may is true.
func (g *generator) pick(may func(i int) bool) (value, bool) {
	var list [slotCount]int
	n := 0
	for i := range slotCount {
		if may(i) {
			list[n] = i
			n++
		}
	}
	if n == 0 {
		return value{n: -1}, false
	}
	return value{n: int64(list[g.n(n)])}, true
}

// next draws a step.
func (g *generator) next() step {
	for {
		if s, ok := g.draw(g.table[g.n(len(g.table))]); ok {
			return s
		}
	}
}

// draw draws the arguments of a call; it returns false if there are none that make sense.
func (g *generator) draw(o *op) (step, bool) {
	s := step{op: o, out: -1, args: make([]value, len(o.args))}
	g.taken = -1
	if o.makes != 0 {
		v, ok := g.freeSlot()
		if !ok {
			return s, false
		}
		s.out = int(v.n)
	}
	for i, k := range o.args {
		v, ok := k.draw(g)
		if !ok {
			return s, false
		}
		s.args[i] = v
	}
	return s, true
}
