package work

import "cmd/go/internal/cfg"

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
