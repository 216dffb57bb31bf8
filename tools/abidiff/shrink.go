package main

import "slices"

// shrink makes a sequence that shows a difference shorter and its arguments simpler, as long as
// the new one shows a difference of the same call that is no listed one. This is Zeller's delta
// debugging, "Simplifying and Isolating Failure-Inducing Input" (2002): parts of half the length
// are left out, then of a quarter, and at last single steps.
func (p *pair) shrink(d *difference) (*difference, error) {
	steps := d.steps[:min(d.at+1, len(d.steps))]
	best := &difference{steps: steps, at: d.at, linux: d.linux, yolk: d.yolk, onDisk: d.onDisk}
	for {
		before := format(best.steps)
		if err := p.dropSteps(&best); err != nil {
			return nil, err
		}
		if err := p.simplify(&best); err != nil {
			return nil, err
		}
		if format(best.steps) == before {
			return best, nil
		}
	}
}

// try replaces best by steps if these show the difference, too.
func (p *pair) try(best **difference, steps []step) (bool, error) {
	d, err := p.compare(steps)
	if d == nil || err != nil {
		return false, err
	}
	if !sameOp(d.step(), (*best).step()) || (listed(d) == nil) != (listed(*best) == nil) {
		return false, nil
	}
	if d.at < len(d.steps) {
		d.steps = d.steps[:d.at+1]
	}
	*best = d
	return true, nil
}

// sameOp reports whether both are steps of one call, or both the end.
func sameOp(a, b *step) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.op == b.op
}

// dropSteps leaves out what the difference does not need.
func (p *pair) dropSteps(best **difference) error {
	for size := len((*best).steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len((*best).steps); {
			less := slices.Delete(slices.Clone((*best).steps), at, at+size)
			ok, err := p.try(best, less)
			if err != nil {
				return err
			}
			if !ok {
				at += size
			}
		}
	}
	return nil
}

// simplify replaces arguments by simpler ones.
func (p *pair) simplify(best **difference) error {
	for i := 0; i < len((*best).steps); i++ {
		for j := 0; i < len((*best).steps) && j < len((*best).steps[i].args); j++ {
			if err := p.simplifyArgument(best, i, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// simplifyArgument replaces argument j of step i by the first simpler value that still shows
// the difference.
func (p *pair) simplifyArgument(best **difference, i, j int) error {
	s := (*best).steps[i]
	k := s.op.args[j]
	if k.simpler == nil {
		return nil
	}
	for _, v := range k.simpler(s.args[j]) {
		if v == s.args[j] {
			continue
		}
		other := slices.Clone((*best).steps)
		other[i].args = slices.Clone(s.args)
		other[i].args[j] = v
		if ok, err := p.try(best, other); ok || err != nil {
			return err
		}
	}
	return nil
}
