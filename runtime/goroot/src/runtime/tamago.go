//go:build tamago

package runtime

import "internal/stringslite"

// isSystemFunc tells from the name of a goroutine's first function whether the
// goroutine is one of the runtime, the kernel or the network stack.
func isSystemFunc(name string) bool {
	if len(name) > 7 && name[:7] == "runtime" {
		return name[7] == '.' || stringslite.HasPrefix(name[7:], "/yolk")
	}
	return stringslite.HasPrefix(name, "gvisor/")
}
