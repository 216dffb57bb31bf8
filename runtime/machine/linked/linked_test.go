package linked

import (
	"slices"
	"testing"
)

// A package goes in with any of those that ask for it, if all that it must stand beside are there.
func TestWanted(t *testing.T) {
	for name, tt := range map[string]struct {
		p    Package
		has  []string
		want bool
	}{
		"every program":            {Package{}, nil, true},
		"nobody asks":              {Package{With: []string{"a", "b"}}, []string{"c"}, false},
		"one of two asks":          {Package{With: []string{"a", "b"}}, []string{"b"}, true},
		"asked for, and alone":     {Package{With: []string{"a"}, Beside: []string{"n"}}, []string{"a"}, false},
		"not asked for":            {Package{With: []string{"a"}, Beside: []string{"n"}}, []string{"n"}, false},
		"asked for, and beside":    {Package{With: []string{"a"}, Beside: []string{"n"}}, []string{"a", "n"}, true},
		"beside one of two":        {Package{With: []string{"a"}, Beside: []string{"n", "m"}}, []string{"a", "n"}, false},
		"every program with one":   {Package{Beside: []string{"n"}}, []string{"n"}, true},
		"every program without it": {Package{Beside: []string{"n"}}, nil, false},
	} {
		if got := tt.p.Wanted(func(path string) bool { return slices.Contains(tt.has, path) }); got != tt.want {
			t.Errorf("%s: wanted %v", name, got)
		}
	}
}

// The network is for programs that have package net or open sockets themselves; its setters are for
// those of them that can make any call.
func TestNetwork(t *testing.T) {
	for _, tt := range []struct {
		has        []string
		net, calls bool
	}{
		{nil, false, false},
		{[]string{OwnCalls}, false, false},
		{[]string{network}, true, false},
		{[]string{network, OwnCalls}, true, true},
		{[]string{OwnCalls, OwnSockets}, true, true},
	} {
		loaded := slices.Clone(tt.has)
		for _, p := range Packages {
			if p.When != OnDemand && p.Wanted(func(path string) bool { return slices.Contains(loaded, path) }) {
				loaded = append(loaded, p.Path)
			}
		}
		if net, calls := slices.Contains(loaded, Net), slices.Contains(loaded, Wiring+"/netcalls"); net != tt.net || calls != tt.calls {
			t.Errorf("a program with %q: network %v, its setters %v", tt.has, net, calls)
		}
	}
}
