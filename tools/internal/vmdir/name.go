package vmdir

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// maxName is the longest name of a VM, in bytes: that of a host, so that one can serve as the other.
const maxName = 64

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// ValidName reports whether a VM may have a name: letters, digits, dots, dashes and underscores,
// a letter or digit first.
func ValidName(name string) bool { return len(name) <= maxName && validName.MatchString(name) }

var notInName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// nameOf makes a name of a program's: its last element, without .elf.
func nameOf(program string) string {
	name := strings.TrimSuffix(filepath.Base(program), ".elf")
	name = strings.TrimLeft(notInName.ReplaceAllString(name, "-"), "-._")
	name = name[:min(len(name), maxName-8)] // room for a number
	if !ValidName(name) {
		return "vm"
	}
	return name
}

// numbered is the n-th name: web, web-2, web-3.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

func noVM(name string) error {
	return fmt.Errorf("there is no VM %s; yolk ps -a lists them", name)
}
