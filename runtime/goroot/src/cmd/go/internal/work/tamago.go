//go:build yolktools

package work

import (
	"cmd/go/internal/base"
	"cmd/go/internal/cfg"
	"cmd/go/internal/load"
	"context"
	"flag"
	"strings"
)

func init() { // build.go's comes first: the go command sorts files by name
	TamagoTrimpath(CmdBuild)
	TamagoTrimpath(CmdInstall)
	if cfg.Goos == "tamago" { // assembly asks for its system as //go:build does; GOOS_tamago is defined, too
		forcedAsmflags = append(forcedAsmflags, "-D", "GOOS_linux")
	}
}

// TamagoTrimpath makes -trimpath the default of a command for tamago programs:
// an image is the same bits wherever it is built, and no folder of the host is
// named in it. A -trimpath in the arguments or in GOFLAGS counts as given. Go
// test is not among the commands: tests find their files by runtime.Caller.
func TamagoTrimpath(cmd *base.Command) {
	run := cmd.Run
	cmd.Run = func(ctx context.Context, cmd *base.Command, args []string) {
		given := false
		cmd.Flag.Visit(func(f *flag.Flag) { given = given || f.Name == "trimpath" })
		if cfg.Goos == "tamago" && !given {
			cfg.BuildTrimpath = true
		}
		run(ctx, cmd, args)
	}
}

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
