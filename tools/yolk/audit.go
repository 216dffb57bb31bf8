package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
)

const auditHelp = `Usage: yolk audit [-json] IMAGE

Prints what of SECURITY.md's protections holds for an image, from its file and,
booting it in QEMU without starting the program, from its page tables; then each
range of addresses that is mapped, with its rights. The exit status is 1 if
something does not hold.

Example:
    yolk audit app.elf
`

// auditTime bounds the boot: an image without the word starts its program.
const auditTime = time.Minute

// protection is one row of the table.
type protection struct {
	What   string
	Holds  bool
	Detail string
}

// mapping is a range of addresses that is mapped when a program starts (docs/memory.md).
type mapping struct {
	Start, End uint64 // bytes
	Rights     string // r, w and x, or -
	What       string
}

func auditCommand(ctx context.Context, args []string) int {
	asJSON := false
	image, err := oneImage("audit", args, func(f *flag.FlagSet) { f.BoolVar(&asJSON, "json", false, "") })
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(auditHelp)
		return 0
	}
	if err != nil {
		return usage("audit", "%v", err)
	}
	if _, err := elfcheck.Check(image); err != nil {
		return fail("audit", err)
	}
	findings, err := auditFile(image)
	if err != nil {
		return fail("audit", err)
	}
	mappings, err := auditBoot(ctx, image)
	if err != nil {
		return fail("audit", err)
	}
	findings = append(findings, judge(mappings)...)
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		e.Encode(map[string]any{"Findings": findings, "Mappings": mappings})
	} else {
		printAudit(os.Stdout, findings, mappings)
	}
	for _, f := range findings {
		if !f.Holds {
			return exitFailure
		}
	}
	return 0
}

func printAudit(w io.Writer, findings []protection, mappings []mapping) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range findings {
		verdict := "holds"
		if !f.Holds {
			verdict = "FAILS"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", verdict, f.What, f.Detail)
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, m := range mappings {
		fmt.Fprintf(w, "%016x-%016x %s %s\n", m.Start, m.End, m.Rights, m.What)
	}
}

// auditFile judges an image by its file.
func auditFile(image string) ([]protection, error) {
	info, err := buildinfo.ReadFile(image)
	if err != nil {
		return nil, fmt.Errorf("%s has no build information: build it with yolk build or the go command, inside of a module", image)
	}
	trimmed, modules := false, 0
	for _, s := range info.Settings {
		trimmed = trimmed || s.Key == "-trimpath" && s.Value == "true"
	}
	modules = len(info.Deps)
	f, err := elf.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	separate := true
	for _, p := range f.Progs {
		separate = separate && (p.Type != elf.PT_LOAD || p.Flags&(elf.PF_W|elf.PF_X) != elf.PF_W|elf.PF_X)
	}
	return []protection{
		{"the same source gives the same image", trimmed, "-trimpath"},
		{"the file says what it is built from", true, fmt.Sprintf("%s, %d modules beside its own", info.GoVersion, modules)},
		{"no segment is writable and executable", separate, fmt.Sprintf("%d program headers", len(f.Progs))},
	}, nil
}

// auditBoot boots an image with the word that makes it list its mappings and end.
func auditBoot(ctx context.Context, image string) ([]mapping, error) {
	v := newVMFlags()
	v.quiet, v.noNet = true, true
	cfg, err := v.config(io.Discard)
	if err != nil {
		return nil, err
	}
	if cfg.Kernel, err = filepath.Abs(image); err != nil {
		return nil, err
	}
	cfg.Append = "yolk.audit"
	var out bytes.Buffer
	vm, err := qemu.Start(cfg, qemu.Console{Out: &out})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, vm.Kill)
	defer stop()
	late := time.AfterFunc(auditTime, vm.Kill)
	defer late.Stop()
	status, err := vm.Wait()
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	var list []mapping
	if err == nil {
		list, err = readMappings(out.String())
	}
	if err != nil {
		return nil, fmt.Errorf("%s does not list its mappings (%w): build it with this yolk", image, err)
	}
	return list, nil
}

// readMappings reads the list on the console.
func readMappings(text string) (list []mapping, err error) {
	for line := range strings.Lines(text) {
		var m mapping
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "map ")
		n, err := fmt.Sscanf(rest, "%v %v %s", &m.Start, &m.End, &m.Rights)
		if !ok || n != 3 || len(m.Rights) != 3 {
			return nil, fmt.Errorf("%q: %w", line, errors.Join(err, errors.ErrUnsupported))
		}
		_, m.What, _ = strings.Cut(rest, m.Rights+" ")
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, errors.New("nothing was listed")
	}
	return list, nil
}

// judge says what of the protections the mappings have.
func judge(list []mapping) []protection {
	both, executable, code, hidden, first := 0, 0, uint64(0), uint64(0), list[0].Start
	for _, m := range list {
		w, x := m.Rights[1] == 'w', m.Rights[2] == 'x'
		switch {
		case w && x:
			both++
		case x:
			executable++
		}
		size := m.End - m.Start
		if m.What == "program image" && !w {
			code += size
		}
		if m.What == "machine RAM" && !w {
			hidden += size
		}
	}
	return []protection{
		{"no page is writable and executable", both == 0, fmt.Sprintf("%d ranges", len(list))},
		{"nothing but the program's code is executable", executable == 1, fmt.Sprintf("%d executable ranges", executable)},
		{"code and constants are read-only at every address", hidden >= code, fmt.Sprintf("%d KiB, and %d KiB where all RAM is seen", code>>10, hidden>>10)},
		{"page 0 and low addresses are not mapped", first >= 0x400000, fmt.Sprintf("the first mapping is at %#x", first)},
	}
}
