package target

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// BuildError is a failed build: the go command's output, and one line with advice.
type BuildError struct {
	Output string
	Hint   string
}

func (e *BuildError) Error() string { return e.Hint }

// explain finds the reason for a failed build.
func (b *Builder) explain(ctx context.Context, dir string, t Target, output string) error {
	e := &BuildError{Output: output}
	if pkgs := b.needsCgo(ctx, dir, t, output); len(pkgs) > 0 {
		e.Hint = fmt.Sprintf("%s needs cgo (%s), and an image has no C: use a package written in Go, or build with tags that leave it out (-tags)",
			t.Text, strings.Join(pkgs, ", "))
		return e
	}
	for _, h := range hints {
		if h.pattern.MatchString(output) {
			e.Hint = t.Text + ": " + h.text
			return e
		}
	}
	e.Hint = fmt.Sprintf("%s does not build; the messages above are the go command's", t.Text)
	return e
}

var hints = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`requires go >= `),
		"the module wants a newer Go than the one chosen: leave GOTOOLCHAIN unset or at auto, or put a newer go first in PATH"},
	{regexp.MustCompile(`go\.mod file not found|cannot find main module`),
		"not inside a module; run go mod init, or name a published program as MODULE/PACKAGE@VERSION"},
	{regexp.MustCompile(`is not in std|no required module provides package`),
		"no such package in this module; for a published program write MODULE/PACKAGE@VERSION (@latest works)"},
	{regexp.MustCompile(`no Go files in|is not a main package|not a main package`),
		"there is no program here; name a folder with a package main"},
	{regexp.MustCompile(`404 Not Found|403 Forbidden|410 Gone|unknown revision|no matching versions`),
		"there is no such module or version; go list -m -versions MODULE lists what there is"},
	{regexp.MustCompile(`replace directives`),
		"the module cannot be installed by version because its go.mod has replace directives; clone it and name its folder"},
	{regexp.MustCompile(`dial tcp|no such host|i/o timeout`),
		"a module could not be fetched; check the network and GOPROXY"},
	{regexp.MustCompile(`no space left on device`),
		"the disk is full; yolk toolchain clean removes what yolk has cached"},
}

var excluded = regexp.MustCompile(`build constraints exclude all Go files in (\S+)|imports (\S+): build constraints`)

// needsCgo returns the packages outside the standard library that have cgo files, if the build
// failed in one of them or for want of their declarations.
func (b *Builder) needsCgo(ctx context.Context, dir string, t Target, output string) []string {
	if t.Kind == Module {
		if m := excluded.FindStringSubmatch(output); m != nil {
			return []string{m[1] + m[2]}
		}
		return nil
	}
	if !excluded.MatchString(output) && !strings.Contains(output, "undefined: ") &&
		!strings.Contains(output, "function main is undeclared") {
		return nil
	}
	all, err := b.list(ctx, dir, t.Arg, cgoFiles("{{.ImportPath}}={{.Dir}}"), "GOOS=linux", "CGO_ENABLED=1")
	if err != nil {
		return nil
	}
	var guilty []string
	for _, p := range all {
		pkg, dir, _ := strings.Cut(p, "=")
		if strings.Contains(output, pkg) || strings.Contains(output, dir) {
			guilty = append(guilty, pkg)
		}
	}
	return guilty
}

// cgoFiles is a go list format for packages outside the standard library that
// have files with import "C".
func cgoFiles(format string) string {
	return "{{if and (not .Standard) .CgoFiles}}" + format + "{{end}}"
}

// CgoPackages lists the packages outside the standard library, among those that arg needs, with
// files that import "C".
func (b *Builder) CgoPackages(ctx context.Context, dir, arg string) ([]string, error) {
	return b.list(ctx, dir, arg, cgoFiles("{{.ImportPath}}"), "GOOS=linux", "CGO_ENABLED=1")
}

// AssemblyPackages lists the packages outside the standard library that have assembly, which the
// port compiles unchanged.
func (b *Builder) AssemblyPackages(ctx context.Context, dir, arg string) ([]string, error) {
	return b.list(ctx, dir, arg, `{{if and (not .Standard) .SFiles}}{{.ImportPath}}{{end}}`)
}

// Importers lists the packages outside the standard library that import pkg.
func (b *Builder) Importers(ctx context.Context, dir, arg, pkg string) ([]string, error) {
	return b.list(ctx, dir, arg,
		`{{if not .Standard}}{{$p := .ImportPath}}{{range .Imports}}{{if eq . "`+pkg+`"}}{{$p}}{{end}}{{end}}{{end}}`)
}

// list runs go list -deps and returns its non-empty lines.
func (b *Builder) list(ctx context.Context, dir, arg, format string, env ...string) ([]string, error) {
	cmd := b.Go(ctx, append(append([]string{"list", "-e", "-deps"}, tagFlags(b.Flags)...), "-f", format, arg)...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", arg, err)
	}
	return strings.Fields(string(out)), nil
}

// tagFlags selects the build flags that decide which files are built.
func tagFlags(flags []string) []string {
	var out []string
	for _, f := range flags {
		if strings.HasPrefix(f, "-tags=") || strings.HasPrefix(f, "-mod=") || strings.HasPrefix(f, "-modfile=") {
			out = append(out, f)
		}
	}
	return out
}
