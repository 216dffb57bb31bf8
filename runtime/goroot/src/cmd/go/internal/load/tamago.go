//go:build yolktools

package load

import "cmd/go/internal/cfg"

// tamagoDeps returns the packages that make a tamago program a machine. The
// linker decides which of them go in: see loadTamago in cmd/link/internal/ld.
func tamagoDeps() []string {
	if cfg.Goos != "tamago" {
		return nil
	}
	return []string{
		"runtime/yolk", "runtime/yolk/devices", "runtime/yolk/devices/balloon", "runtime/yolk/devices/power",
		"runtime/yolk/net", "runtime/yolk/certs", "runtime/yolk/zoneinfo", "runtime/yolk/folders",
	}
}
