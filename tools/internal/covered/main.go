// Command covered tells how many statements of each package the tests have run, by a
// profile of go test -coverprofile, and in all. It exits with 1 if that is less than
// -least percent.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

func main() {
	least := flag.Float64("least", 0, "percent of all statements")
	without := flag.String("without", "^$", "regular expression of files that do not count")
	flag.Parse()
	if err := run(flag.Arg(0), *without, *least, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "covered:", err)
		os.Exit(1)
	}
}

func run(profile, without string, least float64, out io.Writer) error {
	not, err := regexp.Compile(without)
	if err != nil {
		return err
	}
	f, err := os.Open(profile)
	if err != nil {
		return err
	}
	defer f.Close()
	blocks, err := read(f, not)
	if err != nil {
		return err
	}
	return report(blocks, least, out)
}

// block is a run of statements. A profile of several tests has it several times.
type block struct {
	statements int
	run        bool
}

// read reads a profile: after a line with the mode, lines as golang.org/x/tools/cover
// describes them, FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT.
func read(r io.Reader, not *regexp.Regexp) (map[string]block, error) {
	blocks := map[string]block{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "mode: ") {
			continue
		}
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is no line of a profile", lines.Text())
		}
		n, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.ParseUint(f[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if file, _, _ := strings.Cut(f[0], ":"); !not.MatchString(file) {
			blocks[f[0]] = block{n, count > 0 || blocks[f[0]].run}
		}
	}
	return blocks, lines.Err()
}

// tally counts statements.
type tally struct{ run, all int }

func (t *tally) add(b block) {
	t.all += b.statements
	if b.run {
		t.run += b.statements
	}
}

func (t tally) percent() float64 { return 100 * float64(t.run) / float64(t.all) }

func report(blocks map[string]block, least float64, out io.Writer) error {
	packages, total := map[string]*tally{}, tally{}
	for at, b := range blocks {
		file, _, _ := strings.Cut(at, ":")
		p := path.Dir(file)
		if packages[p] == nil {
			packages[p] = &tally{}
		}
		packages[p].add(b)
		total.add(b)
	}
	var names []string
	for p := range packages {
		names = append(names, p)
	}
	sort.Strings(names)
	for _, p := range names {
		fmt.Fprintf(out, "cover %s %.1f %% of %d statements\n", p, packages[p].percent(), packages[p].all)
	}
	if total.all == 0 {
		return errors.New("the profile has no statements")
	}
	fmt.Fprintf(out, "cover all %.1f %% of %d statements\n", total.percent(), total.all)
	if total.percent() < least {
		return fmt.Errorf("the tests run %.1f %% of the statements; want at least %v %%", total.percent(), least)
	}
	return nil
}
