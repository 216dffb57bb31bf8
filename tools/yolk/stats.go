package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/procstat"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

const statsHelp = `Usage: yolk stats [-json] [NAME...]

Prints what QEMU of each VM that runs takes of this host: seconds of CPU time since its
start, percent of one CPU during one second, and memory: RSS, and PSS, which counts
shared memory in parts. The guest's RAM is the most that it can have; what it has not
touched takes nothing.

    -json    print a list of JSON objects (docs/vm.schema.json)

Examples:
    yolk stats
    yolk stats -json web | jq '.[0].rssBytes'
`

// usageOf is what QEMU of a VM uses.
type usageOf struct {
	Name       string  `json:"name"`
	PID        int     `json:"pid"` // of QEMU
	CPUSeconds float64 `json:"cpuSeconds"`
	CPUPercent float64 `json:"cpuPercent"` // of one CPU
	RSS        int64   `json:"rssBytes"`
	PSS        int64   `json:"pssBytes"`
	Memory     int64   `json:"memoryBytes"` // the guest's RAM
}

// statsTime is how long CPU time is measured for the percentage.
const statsTime = time.Second

func statsCommand(_ context.Context, args []string) int {
	set := vmFlagSet("stats")
	asJSON := set.Bool("json", false, "")
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Print(statsHelp)
		return 0
	} else if err != nil {
		return usage("stats", "%v; yolk stats -h explains", err)
	}
	list, err := statsVMs(set.Args())
	if err != nil {
		return fail("stats", err)
	}
	used := measure(list, statsTime)
	if *asJSON {
		return printJSON("stats", used)
	}
	printStats(os.Stdout, used)
	return 0
}

// statsVMs returns the VMs with these names, or all that run.
func statsVMs(names []string) (list []vmdir.VM, err error) {
	if len(names) == 0 {
		return vmdir.List()
	}
	for _, name := range names {
		vm, err := vmdir.Find(name)
		if err != nil {
			return nil, err
		}
		if !vm.Alive() {
			return nil, fmt.Errorf("%s does not run: %s", name, vm.End.Reason)
		}
		list = append(list, *vm)
	}
	return list, nil
}

// measure measures the VMs that have a QEMU at the beginning and the end.
func measure(list []vmdir.VM, d time.Duration) []usageOf {
	first := map[int]procstat.Sample{}
	for _, vm := range list {
		if s, err := procstat.Read(vm.State.QEMU.PID); err == nil && vm.State.QEMU.Alive() {
			first[vm.State.QEMU.PID] = s
		}
	}
	if len(first) > 0 {
		time.Sleep(d)
	}
	used := []usageOf{}
	for _, vm := range list {
		q := vm.State.QEMU
		a, ok := first[q.PID]
		b, err := procstat.Read(q.PID)
		if !ok || err != nil || !q.Alive() {
			continue
		}
		used = append(used, usageOf{
			Name: vm.Name, PID: q.PID, CPUSeconds: b.CPU.Seconds(), CPUPercent: math.Round(10*procstat.Percent(a, b)) / 10,
			RSS: b.RSS, PSS: b.PSS, Memory: vm.Memory,
		})
	}
	return used
}

func printStats(w io.Writer, used []usageOf) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tCPU S\tCPU %\tRSS\tPSS\tRAM")
	const mb = 1 << 20
	for _, u := range used {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1fM\t%.1fM\t%dM\n", u.Name, u.CPUSeconds, u.CPUPercent, float64(u.RSS)/mb, float64(u.PSS)/mb, u.Memory/mb)
	}
	t.Flush()
}
