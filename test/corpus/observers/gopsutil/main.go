// Command gopsutil prints what github.com/shirou/gopsutil tells of the machine and of this process.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"corpus.test/observers/flat"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
	"github.com/shirou/gopsutil/v4/sensors"
)

var views = flat.Views{}

// add takes the results of a function.
func add[T any](name string) func(T, error) {
	return func(v T, err error) { views.Add(name, v, err) }
}

func main() {
	keep, err := flat.Work()
	if err != nil {
		log.Fatal(err)
	}
	machine()
	network()
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		log.Fatal(err)
	}
	// Kill and its like end the process, children are other processes' business.
	views.Methods("process", p, "Kill", "Terminate", "Suspend", "Resume", "Children", "Parent", "String", "Background", "Foreground", "Environ", "Connections", "OpenFiles")
	add[[]net.ConnectionStat]("process.Connections")(p.Connections())
	views.Print()
	for _, c := range keep {
		c.Close()
	}
}

func machine() {
	add[[]cpu.TimesStat]("cpu.Times")(cpu.Times(false))
	add[[]cpu.TimesStat]("cpu.Times.per")(cpu.Times(true))
	add[int]("cpu.Counts.logical")(cpu.Counts(true))
	add[int]("cpu.Counts.physical")(cpu.Counts(false))
	add[[]cpu.InfoStat]("cpu.Info")(cpu.Info())
	add[[]float64]("cpu.Percent")(cpu.Percent(50*time.Millisecond, false))
	add[*mem.VirtualMemoryStat]("mem.VirtualMemory")(mem.VirtualMemory())
	add[*mem.ExVirtualMemory]("mem.Ex")(mem.NewExLinux().VirtualMemory())
	add[*mem.SwapMemoryStat]("mem.SwapMemory")(mem.SwapMemory())
	add[[]*mem.SwapDevice]("mem.SwapDevices")(mem.SwapDevices())
	add[[]disk.PartitionStat]("disk.Partitions")(disk.Partitions(true))
	add[*disk.UsageStat]("disk.Usage")(disk.Usage("/"))
	io, err := disk.IOCounters()
	var ios []disk.IOCountersStat
	for _, v := range io {
		ios = append(ios, v)
	}
	views.Add("disk.IOCounters", ios, err)
	add[*host.InfoStat]("host.Info")(host.Info())
	add[uint64]("host.BootTime")(host.BootTime())
	add[uint64]("host.Uptime")(host.Uptime())
	add[string]("host.HostID")(host.HostID())
	add[[]host.UserStat]("host.Users")(host.Users())
	avg, err := load.Avg()
	if avg != nil {
		avg.Load15 = avg.Load1 // which is 0.00 for some seconds more
	}
	views.Add("load.Avg", avg, err)
	add[*load.MiscStat]("load.Misc")(load.Misc())
	add[[]sensors.TemperatureStat]("sensors.Temperatures")(sensors.TemperaturesWithContext(context.Background()))
	add[[]int32]("process.Pids")(process.Pids())
}

func network() {
	add[[]net.IOCountersStat]("net.IOCounters")(net.IOCounters(true))
	protos, err := net.ProtoCounters(nil)
	byName := map[string]map[string]int64{}
	for _, p := range protos {
		byName[p.Protocol] = p.Stats
	}
	views.Add("net.ProtoCounters", byName, err)
	for _, kind := range []string{"all", "tcp", "udp", "inet6", "unix"} {
		list, err := net.Connections(kind)
		views.Add("net.Connections."+kind, list, err)
	}
	add[[]net.ConntrackStat]("net.ConntrackStats")(net.ConntrackStats(true))
	add[[]net.FilterStat]("net.FilterCounters")(net.FilterCounters())
	list, err := net.Interfaces()
	views.Add("net.Interfaces", list, err)
	add[[]int32]("net.Pids")(net.Pids())
}
