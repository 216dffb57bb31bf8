// Command yolk builds ordinary Go programs into virtual machine images and runs them
// (docs/running.md). Under the name go_tamago_amd64_exec it is the go command's hook for running
// binaries of that GOOS. Start reading at the table of commands below; run.go is the longest
// path.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/tools/internal/target"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

// These are exit statuses of yolk itself; a program's own status is passed on.
const (
	exitFailure = 1
	exitUsage   = 2
	exitNoVM    = 125 // the VM ended without reporting the program's status
)

// hookName is the program in PATH that the go command uses to run a tamago binary (go help run).
const hookName = "go_tamago_amd64_exec"

type command struct {
	name  string
	short string
	help  string
	run   func(ctx context.Context, args []string) int
}

var commands []command

func init() { // not a literal: help reads the table
	commands = []command{
		{"run", "build a program and boot it in a VM", runHelp, runCommand},
		{"build", "build a program into an image", buildHelp, buildCommand},
		{"ps", "list the VMs", psHelp, psCommand},
		{"logs", "print what a VM has written", logsHelp, logsCommand},
		{"attach", "connect with the console of a VM", attachHelp, attachCommand},
		{"stop", "ask VMs to end", stopHelp, stopCommand},
		{"kill", "end VMs at once", killHelp, killCommand},
		{"restart", "end VMs and start them again", restartHelp, restartCommand},
		{"wait", "wait for a VM's end", waitHelp, waitCommand},
		{"rm", "forget VMs that have ended", rmHelp, rmCommand},
		{"ask", "look inside a VM", askHelp, askCommand},
		{"inspect", "print all that is known of a VM", inspectHelp, inspectCommand},
		{"stats", "print what VMs use of this host", statsHelp, statsCommand},
		{"test", "run a package's tests in a VM", testHelp, testCommand},
		{"disk", "make or check a disk for a VM", diskHelp, diskCommand},
		{"dump", "write a core of a running program", dumpHelp, dumpCommand},
		{"sbom", "print what an image is built from", sbomHelp, sbomCommand},
		{"audit", "print what protects an image, and its mappings", auditHelp, auditCommand},
		{"licenses", "print the licenses of all in an image", licensesHelp, licensesCommand},
		{"env", "print the environment for the plain go command", envHelp, envCommand},
		{"toolchain", "build, locate or remove the toolchain", toolchainHelp, toolchainCommand},
		{"cache", "show or shrink what yolk keeps between runs", cacheHelp, cacheCommand},
		{"doctor", "check this machine, or a program", doctorHelp, doctorCommand},
		{"completion", "print what makes a shell complete yolk's words", completionHelp, completionCommand},
		{"man", "write the manual pages", manHelp, manCommand},
		{"version", "print the version", versionHelp, versionCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	args, mask := takeArguments()
	status := 0
	if filepath.Base(args[0]) == hookName {
		mask(func(i int) bool { return i > 1 })
		status = hook(ctx, args[1:])
	} else {
		hideArguments(args, mask)
		status = dispatch(ctx, args[1:])
	}
	stop()
	os.Exit(status)
}

// hideArguments masks what may be secret in the arguments that all users of the host see: all of
// yolk run's, but for the flags and the program.
func hideArguments(args []string, mask func(hide func(i int) bool)) {
	if len(args) < 2 || args[1] != "run" && args[1] != "test" {
		return
	}
	value, program := false, false // the argument is a flag's value; the program came before
	mask(func(i int) bool {
		a := args[i]
		switch {
		case i < 2:
			return false
		case program || value:
			value = false
			return true
		case strings.HasPrefix(a, "-") && len(a) > 1:
			name, _, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
			value = !hasValue && name != "" && !slices.Contains(switches, name)
			return hasValue
		}
		program = true
		return false
	})
}

func dispatch(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, overview())
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return helpCommand(args)
	case "-version", "--version":
		name = "version"
	}
	switch name {
	case superviseName:
		return superviseCommand(ctx, args)
	case completeName:
		return completeCommand(args)
	}
	for _, c := range commands {
		if c.name != name {
			continue
		}
		if len(args) > 0 && isHelp(args[0]) {
			fmt.Print(c.help)
			return 0
		}
		return c.run(ctx, args)
	}
	return usage("", "unknown command %q; yolk -h lists them", name)
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func helpCommand(args []string) int {
	if len(args) == 0 {
		fmt.Print(overview())
		return 0
	}
	for _, c := range commands {
		if c.name == args[0] {
			fmt.Print(c.help)
			return 0
		}
	}
	return usage("", "no help for %q; yolk -h lists the commands", args[0])
}

func overview() string {
	var b strings.Builder
	b.WriteString(`yolk turns Go programs into virtual machine images and runs them.

    yolk run -p 8080:8080 ./app

Commands:

`)
	for _, c := range commands {
		fmt.Fprintf(&b, "    %-10s %s\n", c.name, c.short)
	}
	b.WriteString("\nyolk COMMAND -h explains a command and gives examples.\n")
	return b.String()
}

// usage reports a mistake on the command line.
func usage(cmd, format string, args ...any) int {
	say(cmd, format, args...)
	return exitUsage
}

func say(cmd, format string, args ...any) {
	prefix := "yolk"
	if cmd != "" {
		prefix += " " + cmd
	}
	fmt.Fprintf(messages, prefix+": "+format+"\n", args...)
}

// messages is where yolk's own words go: in a process that holds a VM in the background, its log.
var messages io.Writer = os.Stderr

// fail reports an error; for a failed build it first shows the go command's output.
func fail(cmd string, err error) int {
	if e := (*target.BuildError)(nil); errors.As(err, &e) {
		os.Stderr.WriteString(strings.TrimRight(e.Output, "\n") + "\n")
	}
	say(cmd, "%v", withAdvice(err))
	return exitFailure
}

// withAdvice says of an error about the cache folder how to have another one.
func withAdvice(err error) error {
	var e *fs.PathError
	dir, noDir := toolchain.CacheDir()
	if noDir != nil || !errors.As(err, &e) || strings.Contains(err.Error(), "YOLK_CACHE") {
		return err
	}
	for _, why := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.ENOTDIR} {
		if errors.Is(e, why) && (within(e.Path, dir) || within(dir, e.Path)) {
			return fmt.Errorf("%w: the cache is in %s; set YOLK_CACHE to a folder that can be used", err, dir)
		}
	}
	return err
}

// within reports whether a path is that of a folder or of something in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
