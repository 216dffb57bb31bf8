package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/initfs"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/target"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

const runHelp = `Usage: yolk run [flags] TARGET [--] [program arguments]

Builds TARGET and boots it in QEMU. Standard input, output and error are the
program's, its exit status is yolk's; what yolk and the guest's kernel have to say
goes to standard error, too. Ctrl-C interrupts the program; a second one
kills the VM. In a program that takes all keys, Enter ~ . asks it to end.

TARGET is
    a folder or package:      ./app   .   example.com/module/cmd/app   main.go
    a published program:      MODULE/PACKAGE@VERSION
    an image already built:   app.elf

Flags:
    -p [ADDR:]HOST:GUEST[/udp]   pass a port of this host to the guest (repeat);
                                 ADDR is 127.0.0.1 unless given; with HOST empty
                                 a free port is picked and printed
    -m SIZE                      RAM, 16M or more (default 256M)
    -e NAME=VALUE, -e NAME       set or pass on an environment variable (repeat)
    -env-file FILE               the same, from NAME=VALUE lines
    -secret NAME[=FILE]          the guest's file /run/secrets/NAME, which only root may read, with the
                                 content of FILE, or of the variable NAME here (repeat)
    -files DIR[:/path]           copy a folder or file into the guest's root file
                                 system at /path before it starts (repeat)
    -v DIR:/path[:ro][:mapped]   mount a folder of this host at /path in the guest: both
                                 see what the other writes (repeat); mapped keeps owners, modes
                                 and links that the guest makes out of the host's sight
    -disk FILE[:/path][:ro]      a disk: FILE, from yolk disk create, mounted at /path;
                                 without a path it is only /dev/vda (repeat)
    -w /path                     working directory of the program
    -net user|tap:IF|none        QEMU's own NAT (default), a tap interface, nothing;
    -net passt                   NAT by passt(1), if that is installed
    -net user:host-loopback      NAT, and this host's loopback interface at the gateway's address
    -net udp:PORT:PORT           or frames in datagrams between two ports of this host:
                                 QEMU's own, and where it sends to (repeat: each -net
                                 is a network card)
    -ip dhcp|off|ADDR/PREFIX[,gw=ADDR][,dns=ADDR]
    -hostname NAME               host name (default: that of -name, else yolk)
    -machine microvm|q35|pc      (default microvm)
    -accel auto|kvm|tcg          (default auto: KVM if it runs guests at full speed)
    -smp N                       CPUs (default 1); an image uses up to 64
    -gdb [ADDR]:PORT|unix:PATH   let a debugger connect; its command line is printed; ADDR is
                                 127.0.0.1 unless given, and port 0 a free one
    -core FILE                   write a core if the program crashes (see yolk dump -h);
                                 sets GOTRACEBACK=crash unless you set it
    -strict                      the program gets no executable memory but its own code
    -name NAME                   name of the VM, which no other has (default: the program's, with
                                 a number if needed)
    -d                           run in the background: print the VM's name when it has started (see
                                 yolk ps, logs, attach, stop, wait and rm)
    -restart no|on-failure[:N]|always
                                 start it again when it ends, or ends with another status than 0, at
                                 most N times in a row; after 100 ms, and twice as long each time
    -stop-timeout SECONDS        how long it may take to end when asked to (default 10)
    -health http:PORT/PATH|tcp:PORT
                                 check through a forwarded port of the guest whether it works
    -health-interval DURATION    time between checks (default 10s; 1s until the first success)
    -health-retries N            failures in a row that make it unhealthy (default 3)
    -health-start DURATION       time after the start in which failures do not count (default 10s)
    -qemu-arg ARG                one more argument for QEMU (repeat)
    -q                           no notes about the machine, such as that there is no KVM
    -n                           print the VMM's command line, run nothing
    -tags, -ldflags, -gcflags, … flags of go build

Exit status: the program's own; 1 if yolk could not start it, 2 for a mistake on
the command line, 125 if the VM ended without telling the program's status.

Examples:
    yolk run ./examples/hello
    yolk run -p 8080:8080 ./examples/web
    yolk run -p :8080 -files ./site:/srv app.elf -root /srv
    yolk run -v ./data:/data -v ./site:/srv:ro ./app
    yolk disk create -size 1G data.img; yolk run -disk data.img:/data ./app
    yolk run -d -name web -restart always -health http:8080/ -p 8080:8080 ./examples/web
    yolk run -p 1053:53/udp -files Corefile:/Corefile github.com/coredns/coredns@v1.15.0 -conf /Corefile
`

func runCommand(ctx context.Context, args []string) int {
	v := newVMFlags()
	var buildFlags, tags []string
	rest, err := v.parse(args, func(args []string) (int, error) {
		f, n, ok, err := target.CutFlag(args)
		if err == nil && !ok {
			err = fmt.Errorf("%w %s", errUnknown, args[0])
		}
		buildFlags = append(buildFlags, f)
		return n, err
	})
	if err == nil {
		err = v.check()
	}
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(runHelp)
		return 0
	}
	if errors.Is(err, errUnknown) {
		return usage("run", "%v; yolk run -h lists the flags", err)
	}
	if err != nil {
		return usage("run", "%v", err)
	}
	if len(rest) == 0 {
		return usage("run", "name a program to run, as in yolk run ./app; yolk run -h has more")
	}
	programArgs := rest[1:]
	if len(programArgs) > 0 && programArgs[0] == "--" {
		programArgs = programArgs[1:]
	}
	if _, err := qemu.Find(); err != nil && !v.print {
		return fail("", err) // before a build that takes a minute
	}
	if len(v.disks) > 0 {
		tags = append(tags, diskTag)
	}
	im, name, err := resolve(ctx, rest[0], buildFlags, tags)
	if err != nil {
		return fail("", err)
	}
	if v.detach {
		return v.bootDetached(ctx, im.Path, name, programArgs)
	}
	return v.boot(ctx, im, name, programArgs)
}

// resolve returns the image of a target and the program's name.
func resolve(ctx context.Context, text string, flags, tags []string) (*elfcheck.Image, string, error) {
	t, err := target.Parse(text)
	if err != nil {
		return nil, "", err
	}
	b := &target.Builder{Flags: flags, Stderr: os.Stderr}
	if t.Kind != target.ELF {
		if b, err = newBuilder(ctx, flags); err != nil {
			return nil, "", err
		}
		b.Tags = tags
	}
	im, err := b.Image(ctx, t)
	return im, t.Name, err
}

// initialModule makes the initial module in memory that has no name on the host: the words of the
// configuration, which no other process is to see, secrets and files.
func (v *vmFlags) initialModule(words string) (*os.File, error) {
	fd, err := unix.MemfdCreate("yolk-initial-module", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "initial module")
	if err := v.packFiles(f, words); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// packFiles writes the initial module with a configuration of these words.
func (v *vmFlags) packFiles(f *os.File, words string) error {
	var out io.Writer = os.Stderr
	if len(v.files) > 0 {
		step := ui.Begin(os.Stderr, "packing files")
		defer step.End()
		out = step
	}
	n, err := initfs.Write(f, v.files, initfs.Options{
		MaxBytes: v.memory, Config: words, Texts: slices.Concat(v.secrets, v.zone),
		Skipped: func(host string, why error) {
			fmt.Fprintf(out, "yolk: %s is left out: %v\n", host, why)
		},
	})
	// The archive stays in memory while the program runs.
	if err == nil && n > v.memory*3/4 || errors.Is(err, initfs.ErrTooLarge) {
		err = fmt.Errorf("the files of -files do not fit in %d MiB of RAM; choose more with -m", v.memory>>20)
	}
	if most := v.memory / 32; err == nil && int64(len(words)) > most {
		err = fmt.Errorf("arguments, variables and other settings have %d KiB; %d MiB of RAM are enough for %d: choose more with -m, or put what is large in a file (-files, -secret)",
			len(words)>>10, v.memory>>20, most>>10)
	}
	return err
}

// printCommandLine prints a command line for a shell. The words of the configuration are in it, so
// that one can read and change them.
func (v *vmFlags) printCommandLine(cfg qemu.Config, words string) int {
	cfg.Append = words
	if len(v.files)+len(v.secrets)+len(v.zone) > 0 {
		f, err := os.CreateTemp("", "yolk-files-*.cpio")
		if err == nil {
			err = v.packFiles(f, "")
			f.Close()
		}
		if err != nil {
			return fail("", err)
		}
		cfg.Initrd = f.Name()
		fmt.Fprintf(os.Stderr, "yolk: the initial files are in %s; remove it when you are done\n", cfg.Initrd)
	}
	var quoted []string
	for _, a := range cfg.CommandLine() {
		quoted = append(quoted, shellQuote(a))
	}
	fmt.Println(strings.Join(quoted, " "))
	return 0
}

// shellQuote quotes a word for sh(1).
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
