package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/target"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

const buildHelp = `Usage: yolk build [-o FILE] [-disk] [-json] [go build flags] TARGET

Builds TARGET (see yolk run -h) into one ELF file that a VMM boots. FILE is
NAME.elf in the current folder unless given. With -disk the program can use
disks (see yolk disk -h); that is the build tag yolkdisk. -json prints an object
with the image's path, its size and the least RAM for it in bytes, its entry
point (PVH), the version of Go and the build tags.

Examples:
    yolk build ./app
    yolk build -o web.elf -ldflags "-s -w" ./examples/web
    yolk build -disk -o app.elf ./app; yolk run -disk data.img:/data app.elf
    yolk build -o coredns.elf github.com/coredns/coredns@v1.15.0
`

func buildCommand(ctx context.Context, args []string) int {
	a, err := parseBuild(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(buildHelp)
		return 0
	case err != nil:
		return usage("build", "%v", err)
	case len(a.rest) != 1:
		return usage("build", "name one program, as in yolk build ./app; yolk build -h has more")
	}
	t, err := target.Parse(a.rest[0])
	if err != nil {
		return fail("build", err)
	}
	b, err := newBuilder(ctx, a.flags)
	if err != nil {
		return fail("", err)
	}
	b.Tags = a.tags
	if a.out == "" {
		a.out = t.Name + ".elf"
	}
	im, err := b.BuildTo(ctx, t, a.out)
	if err != nil {
		return fail("build", err)
	}
	if a.json {
		return printBuilt(a.out, im)
	}
	return 0
}

// built is what yolk build -json prints.
type built struct {
	Path   string   `json:"path"`
	Size   int64    `json:"bytes"`
	Memory uint64   `json:"minMemory"` // bytes
	Entry  uint32   `json:"entry"`
	Go     string   `json:"go"`
	Tags   []string `json:"tags"`
}

func printBuilt(path string, im *elfcheck.Image) int {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(built{path, im.Size, leastMemory(im), im.Entry, im.Go, append([]string{}, im.Tags...)}); err != nil {
		return fail("build", err)
	}
	return 0
}

// buildArgs are the arguments of yolk build.
type buildArgs struct {
	out         string // "": not given
	json        bool
	flags, tags []string
	rest        []string
}

func parseBuild(args []string) (a buildArgs, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if isHelp(args[0]) {
			return a, flag.ErrHelp
		}
		if v, ok := strings.CutPrefix(args[0], "-o="); ok {
			a.out, args = v, args[1:]
			continue
		}
		if args[0] == "-disk" || args[0] == "--disk" {
			a.tags, args = append(a.tags, diskTag), args[1:]
			continue
		}
		if args[0] == "-json" || args[0] == "--json" {
			a.json, args = true, args[1:]
			continue
		}
		if args[0] == "-o" {
			if len(args) < 2 {
				return a, errors.New("flag -o needs a file name")
			}
			a.out, args = args[1], args[2:]
			continue
		}
		f, n, ok, err := target.CutFlag(args)
		if err != nil {
			return a, err
		}
		if !ok {
			return a, fmt.Errorf("unknown flag %s; yolk build -h explains them", args[0])
		}
		a.flags, args = append(a.flags, f), args[n:]
	}
	a.rest = args
	return a, nil
}

// newBuilder returns a builder, which makes the toolchain when it knows the module. That takes a
// minute the first time.
func newBuilder(_ context.Context, flags []string) (*target.Builder, error) {
	base, err := toolchain.CacheDir()
	if err != nil {
		return nil, err
	}
	return &target.Builder{
		Toolchain: ensureToolchain, Cache: filepath.Join(base, "images"), Stderr: os.Stderr, Flags: flags,
	}, nil
}

// newBuilderHere returns a builder for the module in the current folder, ready to run go commands.
func newBuilderHere(ctx context.Context) (*target.Builder, error) {
	b, err := newBuilder(ctx, nil)
	if err == nil {
		err = b.Prepare(ctx, "")
	}
	return b, err
}

func ensureToolchain(ctx context.Context, dir string) (goroot, gocache string, err error) {
	goroot, err = toolchain.Ensure(ctx, toolchain.Options{Dir: dir, Progress: os.Stderr})
	if err != nil {
		return "", "", err
	}
	if gocache, err = toolchain.GoCache(goroot); err != nil {
		return "", "", err
	}
	if err := installHook(goroot); err != nil {
		return "", "", fmt.Errorf("installing %s: %w", hookName, err)
	}
	return goroot, gocache, nil
}

// exitOf passes on a command's exit status.
func exitOf(err error, name string) int {
	if err == nil {
		return 0
	}
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.ExitCode() > 0 {
		return e.ExitCode()
	}
	return fail(name, err)
}

const envHelp = `Usage: yolk env [-json]

Prints shell commands that put the toolchain first in PATH, the one of the Go
release that the module in the current folder asks for. From then on the plain
go command builds, runs and tests for the VM wherever GOOS=tamago is set.

Example:
    eval "$(yolk env)"
    GOOS=tamago go build -o app.elf ./app
    GOOS=tamago go run ./app
    GOOS=tamago go test ./...

The hook that runs binaries reads YOLK_MEM (RAM, default 512M), YOLK_RUN_FLAGS
(flags of yolk run) and YOLK_ENV (further variables that the program gets, as in
YOLK_ENV="DATABASE_URL APP_*").
`

func envCommand(ctx context.Context, args []string) int {
	asJSON := false
	for _, a := range args {
		if strings.TrimLeft(a, "-") != "json" || !strings.HasPrefix(a, "-") {
			return usage("env", "unknown argument %s; yolk env -h explains", a)
		}
		asJSON = true
	}
	b, err := newBuilderHere(ctx)
	if err != nil {
		return fail("", err)
	}
	printEnv(os.Stdout, b, os.Getenv("PATH"), asJSON)
	return 0
}

// printEnv leaves GOROOT unset: each go command then finds its own.
func printEnv(w io.Writer, b *target.Builder, path string, asJSON bool) {
	bin := filepath.Join(b.GOROOT, "bin")
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		e.Encode(map[string]string{
			"PATH": bin + string(os.PathListSeparator) + path, "GOTOOLCHAIN": "local", "GOCACHE": b.GOCACHE, "GOROOT": b.GOROOT,
		})
		return
	}
	if first, _, _ := strings.Cut(path, string(os.PathListSeparator)); first != bin {
		fmt.Fprintf(w, "export PATH=%s:\"$PATH\"\n", shellQuote(bin))
	}
	fmt.Fprintf(w, "export GOTOOLCHAIN=local\nexport GOCACHE=%s\nunset GOROOT\n", shellQuote(b.GOCACHE))
}

const toolchainHelp = `Usage: yolk toolchain [path|clean]

Builds the toolchain if it is not there yet, from the Go release that the module
in the current folder asks for (go and toolchain lines, GOTOOLCHAIN), else from
the one in PATH, and prints where it is (path prints only that). clean removes
every toolchain, build cache and image that yolk has made.

Examples:
    yolk toolchain
    ls "$(yolk toolchain path)/bin"
    yolk toolchain clean
`

func toolchainCommand(ctx context.Context, args []string) int {
	what := ""
	if len(args) > 0 {
		what = args[0]
	}
	if len(args) > 1 || what != "" && what != "path" && what != "clean" {
		return usage("toolchain", "want path or clean; yolk toolchain -h explains")
	}
	if what == "clean" {
		if err := toolchain.Clean(); err != nil {
			return fail("toolchain", err)
		}
		return 0
	}
	b, err := newBuilderHere(ctx)
	if err != nil {
		return fail("", err)
	}
	if what == "" {
		fmt.Fprintf(os.Stderr, "yolk: supports %s; the toolchain is in\n", toolchain.Supported())
	}
	fmt.Println(b.GOROOT)
	return 0
}
