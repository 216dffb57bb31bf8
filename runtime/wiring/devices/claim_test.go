package net

import "testing"

func TestCardNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range 32 { // as many functions as a PCI bus has slots
		name := cardName(i)
		if seen[name] {
			t.Errorf("card %d is named %s, as another is", i, name)
		}
		seen[name] = true
	}
	if !seen["eth0"] || !seen["eth10"] {
		t.Errorf("names = %v; want eth0 to eth31", seen)
	}
}
