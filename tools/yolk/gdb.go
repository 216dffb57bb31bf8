package main

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
)

// gdbCommand returns the command line that connects gdb to a VM whose gdb stub listens at addr
// (QEMU's -gdb). It allows gdb to load the Go runtime's own script, which gdb refuses outside of
// its trusted folders.
func gdbCommand(image, addr string) string {
	words := []string{"gdb"}
	if script := gdbScript(image); script != "" {
		words = append(words, "-iex", shellQuote("add-auto-load-safe-path "+filepath.Dir(script)))
	}
	return strings.Join(append(words, "-ex", shellQuote("target remote "+gdbTarget(addr)), shellQuote(image)), " ")
}

// gdbScript returns the path of runtime-gdb.py in an image, "" if there is none. The section has
// entries of a kind byte (1: a Python file) and a name (gdb manual, "dotdebug_gdb_scripts
// section").
func gdbScript(image string) string {
	f, err := elf.Open(image)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := f.Section(".debug_gdb_scripts")
	if s == nil {
		return ""
	}
	b, err := s.Data()
	if err != nil || len(b) < 2 || b[0] != 1 {
		return ""
	}
	name, _, _ := bytes.Cut(b[1:], []byte{0})
	if _, err := os.Stat(string(name)); err != nil {
		return "" // built elsewhere, or with -trimpath
	}
	return string(name)
}

// gdbTarget converts QEMU's address of the stub to gdb's form.
func gdbTarget(addr string) string {
	addr, _, _ = strings.Cut(addr, ",")
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return path
	}
	return strings.TrimPrefix(addr, "tcp:")
}
