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

	"github.com/yolk-unikernel/yolk/tools/internal/diskimage"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

const diskHelp = `Usage: yolk disk create [-size SIZE] [-from DIR] [-label NAME] [-force] [-json] FILE
       yolk disk create -type erofs -from DIR [-force] [-json] FILE
       yolk disk check FILE

create makes a disk for yolk run -disk: FILE with an ext4 file system, which Linux
mounts as well (mount -o loop). FILE is sparse: it takes the room of what is
written to it. With -type erofs it makes a sealed image instead: read-only, and no
larger than the files of the folder.

    -size SIZE     such as 512M or 20G (default 1G, or more if the files need it)
    -from DIR      put a copy of the folder's content on it; everything belongs to root
    -type TYPE     ext4 (the default) or erofs
    -label NAME    the file system's name, up to 16 bytes
    -force         replace FILE, with all that is on it
    -json          print what was made as JSON

check looks for damage and changes nothing. It runs e2fsck of e2fsprogs, or fsck.erofs
of erofs-utils.

Examples:
    yolk disk create -size 1G data.img
    yolk run -disk data.img:/data ./app
    yolk disk create -from ./rootfs root.img
    yolk disk create -type erofs -from ./site site.img
    yolk run -disk site.img:/site:ro ./app
    yolk run -disk root.img:/ -disk data.img:/var/lib/app app.elf
    yolk run -disk data.img:/data:ro ./report
    yolk disk check data.img
`

func diskCommand(ctx context.Context, args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "create":
			return diskCreate(args[1:])
		case "check":
			return diskCheck(ctx, args[1:])
		}
	}
	return usage("disk", "want create or check; yolk disk -h explains")
}

// parseDiskCreate reads the flags of yolk disk create, which may be before or after FILE.
func parseDiskCreate(args []string) (o diskimage.Options, asJSON bool, err error) {
	set := flag.NewFlagSet("create", flag.ContinueOnError)
	set.SetOutput(discard{})
	set.Func("size", "", func(s string) (err error) { o.Size, err = parseSize(s); return })
	set.StringVar(&o.From, "from", "", "")
	set.StringVar(&o.Type, "type", diskimage.Ext4, "")
	set.StringVar(&o.Label, "label", "", "")
	set.BoolVar(&o.Force, "force", false, "")
	set.BoolVar(&asJSON, "json", false, "")
	for {
		if err := set.Parse(args); err != nil {
			return o, false, err
		}
		if set.NArg() == 0 {
			break
		}
		if o.File != "" {
			return o, false, fmt.Errorf("%s is one file too many", set.Arg(0))
		}
		o.File, args = set.Arg(0), set.Args()[1:]
	}
	switch {
	case o.File == "":
		return o, false, errors.New("name the file, as in yolk disk create -size 1G data.img")
	case o.Type != diskimage.Ext4 && o.Type != diskimage.EROFS:
		return o, false, fmt.Errorf("-type %s: want ext4 or erofs", o.Type)
	case o.Type == diskimage.EROFS && o.From == "":
		return o, false, errors.New("-type erofs seals the files of a folder: name it with -from DIR")
	case o.Type == diskimage.EROFS && (o.Size != 0 || o.Label != ""):
		return o, false, errors.New("-size and -label are for ext4: a sealed image has the size of its files, and no name")
	case o.Size != 0 && o.Size < diskimage.MinSize:
		return o, false, fmt.Errorf("-size: a disk has %d MiB or more", diskimage.MinSize>>20)
	case len(o.Label) > 16:
		return o, false, errors.New("-label: a name has 16 bytes at most")
	}
	return o, asJSON, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func diskCreate(args []string) int {
	o, asJSON, err := parseDiskCreate(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(diskHelp)
		return 0
	}
	if err != nil {
		return usage("disk create", "%v; yolk disk -h explains", err)
	}
	what := "making " + o.File
	if o.From != "" {
		what += " of " + o.From
	}
	step := ui.Begin(os.Stderr, what)
	o.Skipped = func(path string, why error) { fmt.Fprintf(step, "yolk: %s is left out: %v\n", path, why) }
	r, err := diskimage.Create(o)
	step.End()
	if err != nil {
		return fail("disk create", err)
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		e.Encode(r)
		return 0
	}
	if r.Type == diskimage.EROFS {
		fmt.Printf("%s: erofs, %d files, %d KiB; use it with yolk run -disk %s:/data:ro\n", r.File, r.Files, r.Size>>10, r.File)
		return 0
	}
	fmt.Printf("%s: ext4, %d MiB, %d MiB free; use it with yolk run -disk %s:/data\n", r.File, r.Size>>20, r.Free>>20, r.File)
	return 0
}

// diskCheck runs e2fsck(8), where a status of 4 or more means damage or an error, or, for a sealed
// image, fsck.erofs(1).
func diskCheck(ctx context.Context, args []string) int {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		return usage("disk check", "name one disk, as in yolk disk check data.img")
	}
	file, err := filepath.Abs(args[0])
	if err != nil {
		return fail("disk check", err)
	}
	sealed, err := isEROFS(file)
	if err != nil {
		return fail("disk check", err)
	}
	tool, pack, flags := "e2fsck", "e2fsprogs", []string{"-fn"}
	if sealed {
		tool, pack, flags = "fsck.erofs", "erofs-utils", nil
	}
	path, err := exec.LookPath(tool)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + tool); err != nil {
			return fail("disk check", fmt.Errorf("%s is not installed: apt-get install %s", tool, pack))
		}
	}
	cmd := exec.CommandContext(ctx, path, append(flags, file)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return exitOf(cmd.Run(), "disk check")
}

// isEROFS checks the superblock's magic number.
func isEROFS(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var magic [4]byte
	_, err = f.ReadAt(magic[:], 1024)
	if err == io.EOF {
		err = nil
	}
	return string(magic[:]) == "\xe2\xe1\xf5\xe0", err
}
