package main

import (
	"context"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
)

// sources is where a debugger finds the files that an image names: an image built with -trimpath,
// the default, names them by import path.
type sources struct {
	goroot   string      // "" if there is no go command
	modcache string      // GOMODCACHE
	modules  [][2]string // path and folder of each main module of the current folder
}

// findSources asks the go command in PATH.
func findSources(ctx context.Context) sources {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE").Output()
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) < 2 {
		return sources{}
	}
	s := sources{goroot: lines[0], modcache: lines[1]}
	out, _ = exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}}\t{{.Dir}}").Output() // fails outside of a module
	for line := range strings.Lines(string(out)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && dir != "" {
			s.modules = append(s.modules, [2]string{path, dir})
		}
	}
	return s
}

// gdbCommand returns the command line that connects gdb to a VM whose gdb stub listens at addr. It says where the sources are, and allows gdb to load the Go runtime's own script,
// which gdb refuses outside of its trusted folders.
func gdbCommand(image, addr string, src sources) string {
	words := []string{"gdb"}
	early := func(command string) { words = append(words, "-iex", shellQuote(command)) }
	if src.goroot != "" && hasDebugInfo(image) {
		early("directory " + filepath.Join(src.goroot, "src") + ":" + src.modcache)
		early("add-auto-load-safe-path " + filepath.Join(src.goroot, "src/runtime"))
		for _, m := range src.modules {
			early("set substitute-path " + m[0] + " " + m[1])
		}
	}
	return strings.Join(append(words, "-ex", shellQuote("target remote "+addr), shellQuote(image)), " ")
}

// hasDebugInfo reports whether an image was built without -ldflags "-s -w".
func hasDebugInfo(image string) bool {
	f, err := elf.Open(image)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Section(".debug_gdb_scripts") != nil
}
