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
	"strings"

	root "github.com/yolk-unikernel/yolk"
	"github.com/yolk-unikernel/yolk/tools/internal/bom"
	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
)

const sbomHelp = `Usage: yolk sbom [-format cyclonedx|spdx] IMAGE

Prints the software bill of materials of an image: the program's modules, those
of the machine (yolk, gVisor and others) and Go, with versions, checksums and
licenses, as CycloneDX 1.6 (the default) or SPDX 2.3, in JSON. The licenses of
the program's own modules come from the module cache, into which the go command
downloads what is missing.

Examples:
    yolk sbom app.elf > app.cdx.json
    yolk sbom -format spdx app.elf > app.spdx.json
`

func sbomCommand(ctx context.Context, args []string) int {
	format := "cyclonedx"
	image, err := oneImage("sbom", args, func(f *flag.FlagSet) { f.StringVar(&format, "format", format, "") })
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(sbomHelp)
		return 0
	}
	if err == nil && format != "cyclonedx" && format != "spdx" {
		err = fmt.Errorf("-format %s: want cyclonedx or spdx", format)
	}
	if err != nil {
		return usage("sbom", "%v", err)
	}
	im, err := readParts(ctx, image)
	if err != nil {
		return fail("sbom", err)
	}
	if format == "spdx" {
		err = im.SPDX(os.Stdout)
	} else {
		err = im.CycloneDX(os.Stdout)
	}
	if err != nil {
		return fail("sbom", err)
	}
	return 0
}

const licensesHelp = `Usage: yolk licenses [-json] IMAGE

Prints the licenses of all that is linked into an image, with their texts. What
has no license that yolk knows is named at the end, and the exit status is 1.

Examples:
    yolk licenses app.elf > THIRD-PARTY-LICENSES
    yolk licenses -json app.elf
`

func licensesCommand(ctx context.Context, args []string) int {
	asJSON := false
	image, err := oneImage("licenses", args, func(f *flag.FlagSet) { f.BoolVar(&asJSON, "json", false, "") })
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(licensesHelp)
		return 0
	}
	if err != nil {
		return usage("licenses", "%v", err)
	}
	im, err := readParts(ctx, image)
	if err != nil {
		return fail("licenses", err)
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		e.Encode(im.Parts)
	} else {
		printLicenses(os.Stdout, im)
	}
	status := 0
	for _, p := range im.Parts {
		if len(p.License.IDs) == 0 {
			say("licenses", "%s %s: no known license; look for it in the module's source", p.Path, p.Version)
			status = exitFailure
		}
	}
	return status
}

func printLicenses(w io.Writer, im *bom.Image) {
	for _, p := range im.Parts {
		fmt.Fprintf(w, "%s %s: %s\n", p.Path, p.Version, strings.Join(p.License.IDs, " AND "))
	}
	for _, p := range im.Parts {
		for _, f := range p.License.Files {
			fmt.Fprintf(w, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("-", 80), p.Path, p.Version, f.Name, strings.TrimRight(f.Text, "\n"))
		}
	}
}

// oneImage reads flags and the path of an image.
func oneImage(command string, args []string, define func(*flag.FlagSet)) (path string, err error) {
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	define(f)
	if err := f.Parse(args); err != nil {
		return "", err
	}
	if f.NArg() != 1 {
		return "", fmt.Errorf("name one image, as in yolk %s app.elf", command)
	}
	return f.Arg(0), nil
}

// readParts reads what an image is built from. The machine's licenses are in the notice, Go's too;
// those of the program's modules are in its folder and the module cache.
func readParts(ctx context.Context, image string) (*bom.Image, error) {
	if _, err := elfcheck.Check(image); err != nil {
		return nil, err
	}
	machine, err := bom.ReadNotice(root.Notice)
	if err != nil {
		return nil, err
	}
	src := findSources(ctx)
	return bom.Read(image, func(path, version string) bom.License {
		for _, e := range machine {
			if e.Path == path && (e.Version == version || e.Version == "") {
				return e.License
			}
		}
		l, _ := bom.Folder(moduleFolder(ctx, src, path, version)) // without one it has none
		return l
	})
}

// moduleFolder returns where the source of a module is, "" if it cannot be had.
func moduleFolder(ctx context.Context, src sources, path, version string) string {
	for _, m := range src.modules {
		if m[0] == path {
			return m[1]
		}
	}
	var m struct{ Dir string }
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path+"@"+version)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	if out, err := cmd.Output(); err != nil || json.Unmarshal(out, &m) != nil {
		return ""
	}
	return m.Dir
}
