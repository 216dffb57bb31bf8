//go:build yolktools

package load

import (
	"cmd/go/internal/cfg"
	"internal/runtime/yolk/linked"
)

// tamagoDeps returns the packages that make a tamago program a machine. The
// linker decides which of them go in: see loadTamago in cmd/link/internal/ld.
func tamagoDeps() []string {
	if cfg.Goos != "tamago" {
		return nil
	}
	return linked.Offered(cfg.BuildContext.BuildTags)
}
