package disks

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// This file shows the disks in /proc and /sys.

func showDisks() {
	wiring.Kernel.SetFile("/proc/diskstats", diskstats)
	wiring.Kernel.SetFile("/proc/partitions", partitions)
	wiring.Kernel.SetFiles("/sys/block", blocks{})
	wiring.Kernel.SetFiles("/sys/class/block", blocks{})
}

// columns are those of /proc/diskstats after the name (Linux's admin-guide/iostats.rst). Nothing is
// merged.
func (k *disk) columns() string {
	st := k.Device().Stats()
	ms := func(d time.Duration) uint64 { return uint64(d / time.Millisecond) }
	sectors := func(c blk.Count) uint64 { return c.Bytes / 512 }
	weighted := st.Reads.Time + st.Writes.Time + st.Discards.Time + st.Flushes.Time
	var b []byte
	for i, v := range [...]uint64{
		st.Reads.Parts, 0, sectors(st.Reads), ms(st.Reads.Time),
		st.Writes.Parts, 0, sectors(st.Writes), ms(st.Writes.Time),
		uint64(st.InFlight), ms(st.Busy), ms(weighted),
		st.Discards.Parts, 0, sectors(st.Discards), ms(st.Discards.Time),
		st.Flushes.Parts, ms(st.Flushes.Time),
	} {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, v, 10)
	}
	return string(b)
}

func diskstats() []byte {
	var b []byte
	for i, k := range found {
		b = append(b, column(strconv.Itoa(major), 4)+" "+column(strconv.Itoa(i*minors), 7)+" "+k.name+" "+k.columns()+"\n"...)
	}
	return b
}

func partitions() []byte {
	b := []byte("major minor  #blocks  name\n\n")
	for i, k := range found {
		b = append(b, column(strconv.Itoa(major), 4)+"  "+column(strconv.Itoa(i*minors), 7)+" "+column(strconv.FormatInt(k.Size()/1024, 10), 10)+" "+k.name+"\n"...)
	}
	return b
}

// column puts spaces before s.
func column(s string, width int) string { return strings.Repeat(" ", max(width-len(s), 0)) + s }

// blocks are the files of /sys/block (Linux's ABI/stable/sysfs-block), with a folder for each disk.
type blocks struct{}

var blockFiles = [...]struct {
	name string
	get  func(i int, k *disk) string
}{
	{"dev", func(i int, _ *disk) string { return strconv.Itoa(major) + ":" + strconv.Itoa(i*minors) }},
	{"queue/discard_granularity", func(_ int, k *disk) string { return strconv.Itoa(k.Device().Info().BlockSize) }},
	{"queue/hw_sector_size", func(_ int, k *disk) string { return strconv.Itoa(k.BlockSize()) }},
	{"queue/logical_block_size", func(_ int, k *disk) string { return strconv.Itoa(k.BlockSize()) }},
	{"queue/physical_block_size", func(_ int, k *disk) string { return strconv.Itoa(k.PhysicalBlock()) }},
	{"queue/rotational", func(int, *disk) string { return "0" }},
	{"removable", func(int, *disk) string { return "0" }},
	{"ro", func(_ int, k *disk) string {
		if k.ReadOnly() {
			return "1"
		}
		return "0"
	}},
	{"serial", func(_ int, k *disk) string { return k.serial }},
	{"size", func(_ int, k *disk) string { return strconv.FormatInt(k.Size()/512, 10) }},
	{"stat", func(_ int, k *disk) string { return k.columns() }},
	{"uevent", func(i int, k *disk) string {
		return "MAJOR=" + strconv.Itoa(major) + "\nMINOR=" + strconv.Itoa(i*minors) + "\nDEVNAME=" + k.name + "\nDEVTYPE=disk"
	}},
}

// Paths implements kernel.Files.
func (blocks) Paths() []string {
	var paths []string
	for _, k := range found {
		for i := range blockFiles {
			paths = append(paths, k.name+"/"+blockFiles[i].name)
		}
	}
	return paths
}

// Read implements kernel.Files.
func (blocks) Read(path string) []byte {
	name, file, _ := strings.Cut(path, "/")
	i := slices.IndexFunc(found, func(k *disk) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	for j := range blockFiles {
		if blockFiles[j].name == file {
			return []byte(blockFiles[j].get(i, found[i]) + "\n")
		}
	}
	return nil
}

// Writable implements kernel.Files.
func (blocks) Writable(string) bool { return false }

// Write implements kernel.Files.
func (blocks) Write(string, []byte) syscall.Errno { return syscall.EACCES }
