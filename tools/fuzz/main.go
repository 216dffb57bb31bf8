// Command fuzz runs every fuzz target of this module for a number of executions each, and prints how
// many there were.
//
//	go run ./tools/fuzz -n 200000
//	go run ./tools/fuzz -n 10000 -run 'netstack|FuzzDevice'
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is one fuzz test.
type target struct{ dir, name string }

func (t target) String() string { return t.dir + " " + t.name }

func main() {
	n := flag.Int("n", 50_000, "executions of each target")
	pick := flag.String("run", "", "only targets whose \"folder name\" matches this regular expression")
	list := flag.Bool("list", false, "print the targets and run none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *pick, *list); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, pick string, list bool) error {
	re, err := regexp.Compile(pick)
	if err != nil {
		return err
	}
	targets, err := find()
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !re.MatchString(t.String()) })
	if list {
		for _, t := range targets {
			fmt.Println(t)
		}
		return nil
	}
	tmp, err := os.MkdirTemp("", "yolk-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	total, failed, built := 0, []string(nil), ""
	binary := filepath.Join(tmp, "test")
	for _, t := range targets {
		if built != t.dir {
			if err := build(ctx, t.dir, binary); err != nil {
				return err
			}
			built = t.dir
		}
		start := time.Now()
		done, err := t.fuzz(ctx, binary, filepath.Join(tmp, "corpus"), n)
		total += done
		fmt.Printf("%-28s %-24s %9d executions, %.0f s\n", t.dir, t.name, done, time.Since(start).Seconds())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, t.String())
		}
	}
	fmt.Printf("%d executions of %d targets, %d of which failed\n", total, len(targets), len(failed))
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]*)\(`)

// find returns the targets, sorted by folder.
func find() ([]target, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}{{range .TestGoFiles}}\t{{.}}{{end}}{{range .XTestGoFiles}}\t{{.}}{{end}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	var targets []target
	for line := range strings.Lines(string(out)) {
		w := strings.Split(strings.TrimSpace(line), "\t")
		dir, err := filepath.Rel(root, w[0])
		if err != nil {
			return nil, err
		}
		for _, file := range w[1:] {
			text, err := os.ReadFile(filepath.Join(w[0], file))
			if err != nil {
				return nil, err
			}
			for _, m := range fuzzFunc.FindAllSubmatch(text, -1) {
				targets = append(targets, target{dir, string(m[1])})
			}
		}
	}
	return targets, nil
}

// build compiles the tests of a folder with the instructions that guide the fuzzer.
func build(ctx context.Context, dir, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", binary, "./"+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests of %s: %w\n%s", dir, err, out)
	}
	return nil
}

var progress = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs a target for n executions and returns how many there were. The package's own folder takes
// what makes it fail, as go test does.
func (t target) fuzz(ctx context.Context, binary, corpus string, n int) (done int, err error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+strconv.Itoa(n)+"x",
		"-test.fuzzminimizetime=10x", "-test.fuzzcachedir="+filepath.Join(corpus, t.dir))
	cmd.Dir = t.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = &out
	err = cmd.Run()
	if all := progress.FindAllSubmatch(out.Bytes(), -1); len(all) > 0 {
		done, _ = strconv.Atoi(string(all[len(all)-1][1]))
	}
	if err != nil && ctx.Err() == nil {
		os.Stdout.Write(out.Bytes())
	}
	return done, err
}
