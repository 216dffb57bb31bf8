package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

const cacheHelp = `Usage: yolk cache [-json]
       yolk cache prune [-age DURATION] [-json]

Lists what yolk keeps between runs, with its size and when it was used last: toolchains,
their build caches, and images. The folder is YOLK_CACHE, or yolk in the user's cache
directory. prune removes what was not used for a time, and says what; yolk makes
again what it needs of that.

    -age DURATION   how long not used, as in 12h or 30d (default 7d; 0 is all)
    -json           print a list of {path, kind, bytes, used}

Examples:
    yolk cache
    yolk cache prune
    yolk cache prune -age 1d
    YOLK_CACHE=/mnt/yolk yolk cache prune -age 0
`

// defaultAge is how long what prune removes was not used.
const defaultAge = 7 * 24 * time.Hour

func cacheCommand(_ context.Context, args []string) int {
	prune := len(args) > 0 && args[0] == "prune"
	if prune {
		args = args[1:]
	}
	set := flag.NewFlagSet("cache", flag.ContinueOnError)
	set.SetOutput(discard{})
	asJSON := set.Bool("json", false, "")
	age := defaultAge
	if prune {
		set.Func("age", "", func(s string) (err error) { age, err = parseAge(s); return })
	}
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Print(cacheHelp)
		return 0
	} else if err != nil {
		return usage("cache", "%v; yolk cache -h explains", err)
	}
	if set.NArg() > 0 {
		return usage("cache", "unknown argument %s; yolk cache -h explains", set.Arg(0))
	}
	list, err := toolchain.Cache()
	if prune && err == nil {
		list, err = toolchain.Prune(age, os.Stderr)
	}
	if err != nil {
		return fail("cache", err)
	}
	if *asJSON {
		return printCacheJSON(list)
	}
	printCache(list, prune)
	return 0
}

// parseAge reads a duration, of which days are d.
func parseAge(s string) (time.Duration, error) {
	var days int
	if n, err := fmt.Sscanf(s, "%dd", &days); n == 1 && err == nil && s == fmt.Sprintf("%dd", days) && days >= 0 && days < 36500 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if s == "0" {
		return 0, nil
	}
	if err != nil || d < 0 {
		return 0, errors.New("want a duration such as 12h or 30d")
	}
	return d, nil
}

func printCacheJSON(list []toolchain.Cached) int {
	if list == nil {
		list = []toolchain.Cached{}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	if err := e.Encode(list); err != nil {
		return fail("cache", err)
	}
	return 0
}

// printCache prints a table. Images, of which there are many, are one line.
func printCache(list []toolchain.Cached, removed bool) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	var total int64
	images := toolchain.Cached{Kind: toolchain.KindImage}
	count := 0
	row := func(c toolchain.Cached, what string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mebibytes(c.Size), ago(c.Used), c.Kind, what)
	}
	for _, c := range list {
		total += c.Size
		if c.Kind == toolchain.KindImage {
			count++
			images.Size += c.Size
			if c.Used.After(images.Used) {
				images.Used = c.Used
			}
			images.Path = filepath.Dir(c.Path)
			continue
		}
		row(c, c.Path)
	}
	if count > 0 {
		row(images, fmt.Sprintf("%d in %s", count, images.Path))
	}
	w.Flush()
	if removed {
		fmt.Printf("%s removed\n", mebibytes(total))
		return
	}
	fmt.Printf("%s in all; yolk cache prune removes what was not used for a week\n", mebibytes(total))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// ago says when something was used last.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d d ago", d/(24*time.Hour))
	}
}
