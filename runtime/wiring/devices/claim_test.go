package devices

import (
	"errors"
	"testing"
)

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

func TestClaim(t *testing.T) {
	var d Device
	left, stuck := 0, errors.New("stuck")
	leave := func() error { left++; return nil }
	if err := d.Claim(Stack, leave); err != nil || d.User() != Stack || left != 0 {
		t.Errorf("Claim of a free device = %v, user %q, asked to leave %d times; want nil, stack, 0", err, d.User(), left)
	}
	if err := d.Claim(Program, nil); err != nil || d.User() != Program || left != 1 {
		t.Errorf("Claim of the stack's device = %v, user %q, asked to leave %d times; want nil, program, 1", err, d.User(), left)
	}
	if err := d.Claim(Program, nil); err != ErrBusy {
		t.Errorf("Claim of the program's device = %v; want %v", err, ErrBusy)
	}
	d.Disclaim()
	if d.User() != Nobody {
		t.Errorf("user %q after Disclaim; want nobody", d.User())
	}
	d.Claim(Stack, func() error { return stuck })
	if err := d.Claim(Program, nil); err != stuck || d.User() != Stack {
		t.Errorf("Claim of a device that does not let go = %v, user %q; want %v, stack", err, d.User(), stuck)
	}
}
