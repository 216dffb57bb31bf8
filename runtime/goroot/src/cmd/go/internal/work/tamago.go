//go:build yolktools

package work

import (
	"cmd/go/internal/cfg"
	"cmd/go/internal/load"
	"strings"
)

// tamagoToolEnv returns what the compiler, the assembler and the linker are to
// find in their environment beyond the usual. The stock compiler knows no
// tamago; its code for linux/amd64 is the code that a tamago program needs,
// and with every tool told the same the object headers agree.
func tamagoToolEnv() []string {
	if cfg.Goos != "tamago" {
		return nil
	}
	return []string{"GOOS=linux"}
}

// tamagoOmitDebug tells the packages that are compiled without DWARF: the
// machine's own and its libraries. Tracebacks and profiles do not need it.
func tamagoOmitDebug(p *load.Package) bool {
	if cfg.Goos != "tamago" {
		return false
	}
	return strings.HasPrefix(p.ImportPath, "runtime/yolk") || strings.HasPrefix(p.ImportPath, "internal/runtime/yolk/") || strings.HasPrefix(p.ImportPath, "gvisor/") ||
		strings.HasPrefix(p.ImportPath, "vendor/") && !strings.HasPrefix(p.ImportPath, "vendor/golang.org/x/net") &&
			!strings.HasPrefix(p.ImportPath, "vendor/golang.org/x/crypto")
}
