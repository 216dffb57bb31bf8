// Command abidiff compares the kernel's system calls with Linux. It draws sequences of calls from
// a seed, makes each on the kernel package in this process and on the Linux under it, and
// compares results, errors, data, readiness and metadata after every call. A difference is
// shrunk to a short sequence and printed as a test.
//
//	go run ./tools/abidiff -ops 1000000 -seed 7
//	go run ./tools/abidiff -families pipes,poll -keep 20
//	go run ./tools/abidiff -replay tools/abidiff/testdata/pipes.txt
//
// docs/abi-diff.md says how a difference becomes a test. Start reading at step.go (calls as
// data), then world.go (one side), compare.go and generate.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	ops      int
	seed     uint64
	length   int
	keep     int
	families []string
	replay   string
	onDisk   bool
}

func main() {
	var o options
	flag.IntVar(&o.ops, "ops", 1_000_000, "number of `calls`")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "`seed`; the same one draws the same calls")
	flag.IntVar(&o.length, "length", 60, "`calls` in a sequence")
	flag.IntVar(&o.keep, "keep", 10, "stop after this number of different `differences`")
	picked := flag.String("families", "", "only calls of these `families`: "+familyNames())
	flag.BoolVar(&o.onDisk, "disk", false, "yolk's files are on an ext4 disk, not in memory")
	flag.StringVar(&o.replay, "replay", "", "compare the sequence in a `file`, and draw none")
	flag.Usage = usage
	flag.Parse()
	if *picked != "" {
		o.families = strings.Split(*picked, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	found, err := run(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "abidiff:", err)
		os.Exit(2)
	}
	if found {
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), `abidiff compares the kernel's system calls with Linux.

	go run ./tools/abidiff -ops 1000000 -seed 7
	go run ./tools/abidiff -families pipes,poll -keep 20
	go run ./tools/abidiff -replay FILE

The exit status is 1 if there are differences that known.go does not list, and 2 if nothing could be compared.

`)
	flag.PrintDefaults()
}
