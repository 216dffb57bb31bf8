package main

import (
	"fmt"
	"strings"
)

// A value is one argument of a step: a number or, for paths and names, a string.
type value struct {
	n int64
	s string
}

// A step is one system call with symbolic arguments.
type step struct {
	op *op
	// out is the slot that keeps the descriptor which the call returns; -1 for none.
	out  int
	args []value
}

// An op is a system call that sequences can have, with the kinds of its arguments.
type op struct {
	name string
	nr   uintptr
	// makes is the kind of descriptor that the call returns; 0: it returns none.
	makes slotKind
	args  []*kind
	// weight is how often the call is drawn, beside the weights of all others.
	weight int
	// run makes the call if it is not simply nr with the arguments in their order.
	run func(w *world, s *step)
}

// slotCount is the number of descriptors that a sequence can hold at a time.
const slotCount = 20

// String returns the step as parseStep reads it.
func (s *step) String() string {
	var b strings.Builder
	if s.out >= 0 {
		fmt.Fprintf(&b, "s%d = ", s.out)
	}
	b.WriteString(s.op.name)
	for i, k := range s.op.args {
		b.WriteString(" " + k.text(s.args[i]))
	}
	return b.String()
}

// format returns a sequence, one step a line.
func format(steps []step) string {
	var b strings.Builder
	for i := range steps {
		b.WriteString(steps[i].String() + "\n")
	}
	return b.String()
}

// parse reads what format returns. Empty lines and those that start with # are comments.
func parse(text string) ([]step, error) {
	var steps []step
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// parseStep reads one step.
func parseStep(line string) (step, error) {
	s := step{out: -1}
	words := strings.Fields(line)
	if len(words) > 2 && words[1] == "=" {
		slot, err := parseSlot(words[0])
		if err != nil {
			return s, err
		}
		s.out, words = int(slot), words[2:]
	}
	s.op = ops[words[0]]
	if s.op == nil {
		return s, fmt.Errorf("%s is not a call that is known", words[0])
	}
	if words = words[1:]; len(words) != len(s.op.args) {
		return s, fmt.Errorf("%s has %d arguments, not %d", s.op.name, len(s.op.args), len(words))
	}
	for i, k := range s.op.args {
		v, err := k.parse(words[i])
		if err != nil {
			return s, fmt.Errorf("%s: argument %d: %w", s.op.name, i+1, err)
		}
		s.args = append(s.args, v)
	}
	return s, nil
}
