package kernel

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write docs/syscalls.md")

const tableDoc = "../docs/syscalls.md"

// docs/syscalls.md is generated from the table.
func TestTableDoc(t *testing.T) {
	want := tableMarkdown(tableNotes(t))
	if *update {
		if err := os.WriteFile(tableDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(tableDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not the table; run: go test ./kernel -run TestTableDoc -update", tableDoc)
	}
}

// tableNotes returns the comments after the entries of the table.
func tableNotes(t *testing.T) map[int]string {
	text, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	notes := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\d+): .*\}, +// (.*)$`).FindAllStringSubmatch(string(text), -1) {
		nr, _ := strconv.Atoi(m[1])
		notes[nr] = strings.ReplaceAll(m[2], `\"`, `"`)
	}
	return notes
}

func tableMarkdown(notes map[int]string) string {
	counts := map[level]int{}
	var rows strings.Builder
	for nr, c := range table {
		if c.name == "" {
			continue
		}
		counts[c.level]++
		fmt.Fprintf(&rows, "| %d | %s | %s | %s |\n", nr, c.name, c.level, notes[nr])
	}
	var b strings.Builder
	b.WriteString("# System calls\n\n")
	b.WriteString("What the kernel answers to each Linux system call of amd64. The page is made from\n")
	b.WriteString("`kernel/table.go` by `go test ./kernel -run TestTableDoc -update`.\n\n")
	b.WriteString("| level | calls | meaning |\n|---|---|---|\n")
	for _, l := range []struct {
		level   level
		meaning string
	}{
		{levelFull, "as the man page says, for one process that is root"},
		{levelPartial, "as the man page says but for the note"},
		{levelStub, "an answer without an effect: what the note says"},
		{levelMachine, "served by the machine half (memory, threads, signals, futexes, exit)"},
		{levelNone, "no handler: ENOSYS, and one line on the console that names the call"},
	} {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", l.level, counts[l.level], l.meaning)
	}
	b.WriteString("\n| number | call | level | note |\n|---|---|---|---|\n")
	return b.String() + rows.String()
}

// Levels match handlers, and numbers match positions.
func TestTable(t *testing.T) {
	notes := tableNotes(t)
	for nr, c := range table {
		hasHandler := c.level != levelNone && c.level != levelMachine
		if (c.handler != nil) != hasHandler {
			t.Errorf("%d %s: level %s, handler %v", nr, c.name, c.level, c.handler != nil)
		}
		if (c.level == levelPartial || c.level == levelStub) && notes[nr] == "" {
			t.Errorf("%d %s: level %s needs a note", nr, c.name, c.level)
		}
	}
	for nr, name := range map[uintptr]string{
		syscall.SYS_READ: "read", syscall.SYS_SOCKET: "socket", syscall.SYS_GETDENTS64: "getdents64",
		syscall.SYS_OPENAT: "openat", syscall.SYS_PRLIMIT64: "prlimit64", 318: "getrandom", 332: "statx", 435: "clone3", 441: "epoll_pwait2",
	} {
		if table[nr].name != name {
			t.Errorf("table[%d] is %s; want %s", nr, table[nr].name, name)
		}
	}
}

// The kernel is part of every image and initialises before everything else, so it imports few
// packages.
func TestImports(t *testing.T) {
	allowed := strings.Fields("bytes math/bits path runtime slices sort strconv strings sync sync/atomic syscall time unsafe " +
		"github.com/yolk-unikernel/yolk/runtime/machine/mman")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if p := strings.Trim(i.Path.Value, `"`); !slices.Contains(allowed, p) {
				t.Errorf("%s imports %s, which is not among %v", name, p, allowed)
			}
		}
	}
}
