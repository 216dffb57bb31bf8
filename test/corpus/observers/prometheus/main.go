// Command prometheus prints what client_golang's collectors and procfs, which most exporters read
// with, tell of the machine and of this process.
package main

import (
	"log"
	"os"
	"strings"

	"corpus.test/observers/flat"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"github.com/prometheus/procfs/sysfs"
)

var views = flat.Views{}

func main() {
	keep, err := flat.Work()
	if err != nil {
		log.Fatal(err)
	}
	families()
	system()
	self()
	views.Print()
	for _, c := range keep {
		c.Close()
	}
}

// families are all metrics of client_golang.
func families() {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{ReportErrors: true}),
		collectors.NewBuildInfoCollector(),
	)
	list, err := r.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range list {
		if strings.HasPrefix(f.GetName(), "go_") {
			views.Add("client_golang."+f.GetName(), true, nil) // Go's own figures change with its mood
			continue
		}
		for _, m := range f.GetMetric() {
			views.Add("client_golang."+f.GetName(), valueOf(m), nil)
		}
	}
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.Untyped.GetValue()
}

func system() {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		log.Fatal(err)
	}
	views.Methods("procfs", fs, "AllProcs", "Self", "KernelRandom", "NetProtocols")
	protocols, err := fs.NetProtocols()
	names := map[string]bool{}
	for name := range protocols {
		names[name] = true
	}
	views.Add("procfs.NetProtocols", names, err)
	for _, kind := range []string{"cpu", "memory", "io"} {
		s, err := fs.PSIStatsForResource(kind)
		views.Add("procfs.PSI."+kind, s, err)
	}
	sys, err := sysfs.NewFS("/sys")
	if err != nil {
		log.Fatal(err)
	}
	// Left out are devices of a machine that is no yolk's, in many lines.
	views.Methods("sysfs", sys, "ClassDRMCardAMDGPUStats", "PciDevices", "AerCounters", "VMStatNUMA", "CPUVulnerabilities")
	net, err := sys.NetClassByIface("lo")
	views.Add("sysfs.lo", net, err)
	block, err := blockdevice.NewDefaultFS()
	if err != nil {
		log.Fatal(err)
	}
	stats, err := block.ProcDiskstats()
	views.Add("blockdevice.ProcDiskstats", stats, err)
}

func self() {
	p, err := procfs.NewProc(os.Getpid())
	if err != nil {
		log.Fatal(err)
	}
	views.Methods("proc", p, "Environ", "FDDirectory")
}
