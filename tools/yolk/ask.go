package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/pprof/profile"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/inside"
	"github.com/yolk-unikernel/yolk/tools/internal/ui"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

const askHelp = `Usage: yolk ask NAME WHAT [-o FILE] [-seconds N] [-json]

Looks inside a VM that runs. Its image needs no preparation, and the program may hang.
WHAT is one of:

    goroutines   the stacks of all goroutines but those of yolk's own kernel
    heap         what allocates memory, for go tool pprof
    profile      where CPU time goes, for go tool pprof
    trace        what goroutines do and wait for, for go tool trace
    ss           sockets
    routes       routes of the network
    mounts       mounted file systems
    files        open files
    queues       virtio devices, and whether their queues move
    dmesg        what the kernel has logged

    -o FILE      write to a file, - being the standard output. heap, profile and trace
                 write to NAME.heap, NAME.profile and NAME.trace otherwise
    -seconds N   how long profile and trace take (10; Ctrl-C ends them earlier)
    -json        ss, routes, mounts, files and queues as JSON (docs/inside.schema.json)

Images have goroutines; the others need a program with package context, which net and
os/signal import.

Examples:
    yolk ask web goroutines
    yolk ask web profile -seconds 30 && go tool pprof -top web.profile
    yolk ask web ss -json | jq -r '.[] | select(.state == "LISTEN") | .local'
`

// question is what a user can ask for.
type question struct {
	name  string
	table func(s *inside.Session) (table, error) // for what is printed as a table, or as JSON
	text  func(s *inside.Session) (string, error)
	save  func(a *asker, s *inside.Session) error // for what go tool reads
}

var questions = []question{
	{name: "goroutines", text: goroutines},
	{name: "heap", save: (*asker).heap},
	{name: "profile", save: (*asker).profile},
	{name: "trace", save: (*asker).trace},
	{name: "ss", table: socketTable},
	{name: "routes", table: routeTable},
	{name: "mounts", table: mountTable},
	{name: "files", table: fileTable},
	{name: "queues", table: queueTable},
	{name: "dmesg", text: (*inside.Session).Messages},
}

// asker is one run of the command.
type asker struct {
	ctx     context.Context
	vm      *vmdir.VM
	out     string // -o
	seconds int
	json    bool
	what    question
	build   string // of the image that runs
}

// maxAnswer bounds what a guest may send, in bytes.
const maxAnswer = 1 << 30

// maxRecord is the longest profile or trace, in seconds.
const maxRecord = 3600

func askCommand(ctx context.Context, args []string) int {
	a := &asker{ctx: ctx, seconds: 10}
	set := vmFlagSet("ask")
	set.StringVar(&a.out, "o", "", "")
	set.IntVar(&a.seconds, "seconds", a.seconds, "")
	set.BoolVar(&a.json, "json", false, "")
	words, err := anywhere(set, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(askHelp)
		return 0
	case err != nil:
		return usage("ask", "%v; yolk ask -h explains", err)
	case len(words) != 2:
		return usage("ask", "want a VM and what to ask it, as in yolk ask web goroutines; yolk ask -h lists what can be asked, and yolk ps the VMs")
	case a.seconds < 1 || a.seconds > maxRecord:
		return usage("ask", "-seconds %d: want 1 to %d", a.seconds, maxRecord)
	}
	i := slices.IndexFunc(questions, func(q question) bool { return q.name == words[1] })
	if i < 0 {
		return usage("ask", "cannot ask for %q; yolk ask -h lists what can be asked", words[1])
	}
	if a.what = questions[i]; a.json && a.what.table == nil {
		return usage("ask", "%s has no form in JSON: leave -json out", a.what.name)
	}
	if err := a.ask(words[0]); err != nil {
		return fail("ask", err)
	}
	return 0
}

// anywhere parses flags that may stand before and behind the other words, which it returns.
func anywhere(set *flag.FlagSet, args []string) (words []string, err error) {
	for err == nil {
		if err = set.Parse(args); set.NArg() == 0 {
			break
		}
		words, args = append(words, set.Arg(0)), set.Args()[1:]
	}
	return words, err
}

func (a *asker) ask(name string) (err error) {
	if a.vm, err = vmdir.Find(name); err != nil {
		return err
	}
	if !a.vm.Alive() {
		return fmt.Errorf("%s does not run: %s; yolk logs %s has its output", a.vm.Name, a.vm.End.Reason, a.vm.Name)
	}
	c, err := control.Open(a.vm.Dir, control.Request{Op: control.Ask})
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Reply(askWait + killWait)
	if err != nil {
		return err
	}
	a.build = r.Build
	// The first Ctrl-C ends a recording, which is then fetched; others end with it.
	defer context.AfterFunc(a.ctx, func() { c.SetReadDeadline(time.Now().Add(a.fetchTime())) })()
	s := inside.NewSession(c, maxAnswer)
	switch {
	case a.what.save != nil:
		return a.what.save(a, s)
	case a.what.text != nil:
		text, err := a.what.text(s)
		return errors.Join(a.write(func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		}), a.advise(err))
	}
	t, err := a.what.table(s)
	if err != nil {
		return a.advise(err)
	}
	return a.write(func(w io.Writer) error {
		if a.json {
			return encodeJSON(w, t.values)
		}
		return t.print(w)
	})
}

// fetchTime is how long what was found may take to come after Ctrl-C.
func (a *asker) fetchTime() time.Duration {
	if a.what.name == "profile" || a.what.name == "trace" {
		return askWait
	}
	return 0
}

// advise adds to an error what to do next.
func (a *asker) advise(err error) error {
	switch {
	case errors.Is(err, inside.ErrSilent):
		return fmt.Errorf("%s: %w; yolk dump %s writes a core of it (docs/debugging.md)", a.vm.Name, err, a.vm.Name)
	case errors.Is(err, inside.ErrEnded):
		return fmt.Errorf("%s: %w; yolk ps -a tells how", a.vm.Name, err)
	case err != nil:
		return fmt.Errorf("%s: %w", a.vm.Name, err)
	}
	return nil
}

// write has the answer written to the file of -o or to standard output.
func (a *asker) write(f func(io.Writer) error) error {
	if a.out == "" || a.out == "-" {
		return f(os.Stdout)
	}
	file, err := os.OpenFile(a.out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // a profile tells of the program
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

// save writes what a go tool reads, and says how.
func (a *asker) save(tool string, f func(io.Writer) error) error {
	if a.out == "" {
		a.out = a.vm.Name + "." + a.what.name
	}
	if a.out == "-" && ui.IsTerminal(os.Stdout) {
		return fmt.Errorf("%s is not for a terminal: name a file with -o", a.what.name)
	}
	if err := a.write(f); err != nil {
		return err
	}
	if a.out != "-" {
		say("ask", "%s opens it", fmt.Sprintf(tool, a.out))
	}
	return nil
}

func goroutines(s *inside.Session) (string, error) {
	all, err := s.Text("stacks")
	if all == "" {
		return "", err
	}
	return inside.Stacks(all), err
}

func (a *asker) heap(s *inside.Session) error {
	answer, err := s.Text("heap")
	if err != nil {
		return a.advise(err)
	}
	return a.saveProfile(func(symbols *inside.Symbols) (*profile.Profile, error) { return inside.Heap([]byte(answer), symbols) })
}

func (a *asker) profile(s *inside.Session) error {
	began := time.Now()
	answer, err := a.record(s)
	if err != nil {
		return err
	}
	length := time.Since(began)
	return a.saveProfile(func(symbols *inside.Symbols) (*profile.Profile, error) { return inside.CPU(answer, length, symbols) })
}

func (a *asker) saveProfile(of func(*inside.Symbols) (*profile.Profile, error)) error {
	if now := inside.Build(a.vm.Image); now == "" || now != a.build {
		return fmt.Errorf("%s is not what the VM runs any more, and does not have its names: ask again after yolk restart %s", a.vm.Image, a.vm.Name)
	}
	symbols, err := inside.ReadSymbols(a.vm.Image)
	if err != nil {
		return err
	}
	p, err := of(symbols)
	if err != nil {
		return a.advise(err)
	}
	return a.save("go tool pprof -top %s", p.Write)
}

func (a *asker) trace(s *inside.Session) error {
	answer, err := a.record(s)
	if err != nil {
		return err
	}
	return a.save("go tool trace %s", func(w io.Writer) error {
		_, err := w.Write(answer)
		return err
	})
}

// record has the guest record something, for the time of -seconds or until the user does not want more.
func (a *asker) record(s *inside.Session) (all []byte, err error) {
	add := func(p []byte) error {
		all = append(all, p...)
		return nil
	}
	if err := s.Ask(a.what.name, add); err != nil {
		return nil, a.advise(err)
	}
	say("ask", "%s of %s for %d seconds (Ctrl-C ends it earlier)", a.what.name, a.vm.Name, a.seconds)
	for end := time.Now().Add(time.Duration(a.seconds) * time.Second); a.ctx.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		select {
		case <-a.ctx.Done():
		case <-time.After(min(left, time.Second)):
			if err := s.Ask("more", add); err != nil {
				return nil, a.advise(err)
			}
		}
	}
	return all, a.advise(s.Ask("stop", add))
}
