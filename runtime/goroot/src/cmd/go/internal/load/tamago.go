//go:build yolktools

package load

import (
	"cmd/go/internal/cfg"
	"slices"
)

// tamagoDeps returns the packages that make a tamago program a machine. The
// linker decides which of them go in: see loadTamago in cmd/link/internal/ld. What
// serves disks is there for programs built with the tag yolkdisk.
func tamagoDeps() []string {
	if cfg.Goos != "tamago" {
		return nil
	}
	deps := []string{
		"runtime/yolk", "runtime/yolk/devices", "runtime/yolk/devices/balloon", "runtime/yolk/devices/power",
		"runtime/yolk/net", "runtime/yolk/certs", "runtime/yolk/zoneinfo", "runtime/yolk/folders",
	}
	if slices.Contains(cfg.BuildContext.BuildTags, "yolkdisk") {
		deps = append(deps, "runtime/yolk/disks")
	}
	return deps
}
