package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	root "github.com/yolk-unikernel/yolk"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/target"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

const doctorHelp = `Usage: yolk doctor [-json] [TARGET]

Checks what yolk needs on this machine. With a TARGET (see yolk run -h) it also
builds the program and reports what may not work in a VM: cgo, assembly, started
processes, plugins.

The exit status is 1 if something is bad. -json prints a list of findings, each
with level (ok, note or bad) and what.

Examples:
    yolk doctor
    yolk doctor ./app
    yolk doctor -json | jq '.[] | select(.level == "bad")'
`

// finding is one line of the report.
type finding struct {
	Level string `json:"level"` // "ok", "note" or "bad"
	What  string `json:"what"`
}

func ok(format string, a ...any) finding   { return finding{"ok", fmt.Sprintf(format, a...)} }
func note(format string, a ...any) finding { return finding{"note", fmt.Sprintf(format, a...)} }
func bad(format string, a ...any) finding  { return finding{"bad", fmt.Sprintf(format, a...)} }

func doctorCommand(ctx context.Context, args []string) int {
	asJSON := false
	if len(args) > 0 && (args[0] == "-json" || args[0] == "--json") {
		asJSON, args = true, args[1:]
	}
	if len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-") {
		return usage("doctor", "want at most one program; yolk doctor -h explains")
	}
	host := checkHost(ctx)
	if !asJSON {
		report(os.Stdout, host) // before a build that takes a minute
	}
	var program []finding
	if len(args) > 0 && !anyBad(host) {
		var err error
		if program, err = checkProgram(ctx, args[0]); err != nil {
			return fail("doctor", err)
		}
	}
	findings := append(host, program...)
	if asJSON {
		reportJSON(os.Stdout, findings)
	} else {
		report(os.Stdout, program)
	}
	if anyBad(findings) {
		return exitFailure
	}
	return 0
}

func anyBad(findings []finding) bool {
	return slices.ContainsFunc(findings, func(f finding) bool { return f.Level == "bad" })
}

// report prints the findings as lines.
func report(w io.Writer, findings []finding) {
	for _, f := range findings {
		mark := fmt.Sprintf("%-5s", f.Level)
		if f.Level == "bad" {
			mark = ui.Bold(w, mark)
		}
		fmt.Fprintf(w, "%s %s\n", mark, f.What)
	}
}

// reportJSON prints them as a JSON array.
func reportJSON(w io.Writer, findings []finding) {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(findings)
}

func checkHost(ctx context.Context) []finding {
	fs := []finding{checkGo(ctx), checkQEMU(ctx)}
	if usable, why := qemu.UsableKVM(); usable {
		fs = append(fs, ok("KVM runs guests"))
	} else {
		fs = append(fs, note("no KVM (%s): VMs are emulated, which is slower", why))
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		fs = append(fs, bad("this is %s/%s; yolk runs on linux/amd64", runtime.GOOS, runtime.GOARCH))
	}
	return append(fs, checkCache()...)
}

func checkGo(ctx context.Context) finding {
	_, version, err := toolchain.Select(ctx, "", os.Stderr)
	if err != nil {
		return bad("%v", err)
	}
	return ok("%s (yolk supports %s)", version, toolchain.Supported())
}

func checkQEMU(ctx context.Context) finding {
	path, err := qemu.Find()
	if err != nil {
		return bad("%v", err)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return bad("%s --version fails: %v", path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	var major int
	if i := strings.Index(line, "version "); i >= 0 {
		fmt.Sscanf(line[i+len("version "):], "%d", &major)
	}
	if major > 0 && major < 6 {
		return bad("%s: too old; yolk needs QEMU 6 or newer", line)
	}
	return ok("%s", line)
}

// needDisk is the space for the toolchain and its build cache, with room for the build.
const needDisk = 2 << 30

func checkCache() []finding {
	dir, err := toolchain.CacheDir()
	if err != nil {
		return []finding{bad("%v", err)}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return []finding{bad("the cache folder cannot be made (%v): set YOLK_CACHE", err)}
	}
	probe, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return []finding{bad("the cache folder cannot be written (%v): set YOLK_CACHE", err)}
	}
	probe.Close()
	os.Remove(probe.Name())
	fs := []finding{ok("cache in %s", dir)}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err == nil {
		if free := int64(st.Bavail) * st.Bsize; free < needDisk {
			fs = append(fs, bad("%d MiB free there; yolk wants %d MiB: set YOLK_CACHE to a larger disk", free>>20, needDisk>>20))
		} else {
			fs = append(fs, ok("%d GiB free there", free>>30))
		}
	}
	return fs
}

// checkProgram builds a program and reports what does not work in an image.
func checkProgram(ctx context.Context, text string) ([]finding, error) {
	t, err := target.Parse(text)
	if err != nil {
		return nil, err
	}
	b := &target.Builder{Stderr: os.Stderr}
	if t.Kind != target.ELF {
		if b, err = newBuilder(ctx, nil); err != nil {
			return nil, err
		}
	}
	im, err := b.Image(ctx, t)
	if e := (*target.BuildError)(nil); errors.As(err, &e) {
		os.Stderr.WriteString(strings.TrimRight(e.Output, "\n") + "\n")
		return []finding{bad("%v", e)}, nil
	}
	if err != nil {
		return nil, err
	}
	verb := "builds"
	if t.Kind == target.ELF {
		verb = "is an image"
	}
	fs := []finding{ok("%s %s: %.1f MB, %s, entry %#x", t.Text, verb, float64(im.Size)/1e6, im.Go, im.Entry)}
	if t.Kind != target.Package {
		return append(fs, note("name a folder to have its packages checked")), nil
	}
	return append(fs, checkPackages(ctx, b, t)...), nil
}

func checkPackages(ctx context.Context, b *target.Builder, t target.Target) []finding {
	var fs []finding
	look := func(pkgs []string, err error, f func(string, ...any) finding, why string) {
		if err != nil {
			fs = append(fs, note("%v", err))
		} else if len(pkgs) > 0 {
			fs = append(fs, f("%s: %s", why, strings.Join(pkgs, ", ")))
		}
	}
	pkgs, err := b.CgoPackages(ctx, t.Dir, t.Arg)
	look(pkgs, err, note, "have cgo files, built without them here (check that the rest works)")
	pkgs, err = b.AssemblyPackages(ctx, t.Dir, t.Arg)
	look(pkgs, err, ok, "have assembly, which works as on Linux")
	for _, c := range []struct{ pkg, why string }{
		{"os/exec", "may start processes, which fails in a VM (ENOSYS)"},
		{"plugin", "load plugins, which fails in a VM"},
		{"os/user", "look up users; the VM has root only"},
	} {
		pkgs, err := b.Importers(ctx, t.Dir, t.Arg, c.pkg)
		look(pkgs, err, note, c.why)
	}
	return fs
}

const versionHelp = `Usage: yolk version

Prints yolk's version and the Go releases that it supports.
`

func versionCommand(ctx context.Context, args []string) int {
	if len(args) > 0 {
		return usage("version", "takes no arguments")
	}
	version, revision := root.Version, ""
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				revision = " " + s.Value[:12]
			}
		}
	}
	fmt.Printf("yolk %s%s, for %s\n", version, revision, toolchain.Supported())
	if exe, err := os.Executable(); err == nil {
		fmt.Println(filepath.Clean(exe))
	}
	return 0
}
