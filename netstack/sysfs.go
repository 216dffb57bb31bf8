package netstack

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// Classes are the files of /sys/class/net (Linux's ABI/testing/sysfs-class-net and -statistics): a
// folder for each interface.
func (s *Stack) Classes() kernel.Files { return classes{s} }

type classes struct{ s *Stack }

// classFiles are the attributes of an interface.
var classFiles = [...]struct {
	name string
	get  func(i *InterfaceInfo) string
}{
	{"addr_assign_type", func(*InterfaceInfo) string { return "0" }},
	{"addr_len", func(i *InterfaceInfo) string { return strconv.Itoa(len(i.HardwareAddr)) }},
	{"address", func(i *InterfaceInfo) string { return hardwareAddr(i.HardwareAddr) }},
	{"broadcast", func(i *InterfaceInfo) string {
		switch {
		case i.loopback():
			return "00:00:00:00:00:00"
		case len(i.HardwareAddr) == 0:
			return ""
		}
		return "ff:ff:ff:ff:ff:ff"
	}},
	{"carrier", func(i *InterfaceInfo) string { return boolText(i.Flags&syscall.IFF_RUNNING != 0) }},
	{"carrier_changes", func(*InterfaceInfo) string { return "0" }},
	{"carrier_down_count", func(*InterfaceInfo) string { return "0" }},
	{"carrier_up_count", func(*InterfaceInfo) string { return "0" }},
	{"dev_id", func(*InterfaceInfo) string { return "0x0" }},
	{"dev_port", func(*InterfaceInfo) string { return "0" }},
	{"dormant", func(*InterfaceInfo) string { return "0" }},
	{"flags", func(i *InterfaceInfo) string {
		return "0x" + strconv.FormatUint(uint64(i.Flags&^(syscall.IFF_RUNNING)), 16)
	}},
	{"ifalias", func(*InterfaceInfo) string { return "" }},
	{"ifindex", func(i *InterfaceInfo) string { return strconv.Itoa(i.Index) }},
	{"iflink", func(i *InterfaceInfo) string { return strconv.Itoa(i.Index) }},
	{"link_mode", func(*InterfaceInfo) string { return "0" }},
	{"mtu", func(i *InterfaceInfo) string { return strconv.Itoa(i.MTU) }},
	{"name_assign_type", func(*InterfaceInfo) string { return "2" }},
	{"netdev_group", func(*InterfaceInfo) string { return "0" }},
	{"operstate", func(i *InterfaceInfo) string {
		switch {
		case i.Flags&syscall.IFF_RUNNING == 0:
			return "down"
		case i.loopback(), i.Virtual != "":
			return "unknown"
		}
		return "up"
	}},
	{"tx_queue_len", func(i *InterfaceInfo) string { return strconv.Itoa(i.QueueLength) }},
	{"type", func(i *InterfaceInfo) string { return strconv.Itoa(int(i.Type)) }},
	{"uevent", func(i *InterfaceInfo) string { return "INTERFACE=" + i.Name + "\nIFINDEX=" + strconv.Itoa(i.Index) }},
	{"statistics/rx_bytes", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.RxBytes, 10) }},
	{"statistics/rx_dropped", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.RxDropped, 10) }},
	{"statistics/rx_errors", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.RxErrors, 10) }},
	{"statistics/rx_packets", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.RxPackets, 10) }},
	{"statistics/tx_bytes", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.TxBytes, 10) }},
	{"statistics/tx_dropped", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.TxDropped, 10) }},
	{"statistics/tx_errors", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.TxErrors, 10) }},
	{"statistics/tx_packets", func(i *InterfaceInfo) string { return strconv.FormatUint(i.Stats.TxPackets, 10) }},
}

func (i *InterfaceInfo) loopback() bool { return i.Flags&syscall.IFF_LOOPBACK != 0 }

func hardwareAddr(mac []byte) string {
	var part []string
	for _, b := range mac {
		part = append(part, lowerHex(uint64(b), 2))
	}
	return strings.Join(part, ":")
}

// Paths implements kernel.Files.
func (f classes) Paths() []string {
	var paths []string
	for _, i := range f.s.Interfaces() {
		for j := range classFiles {
			paths = append(paths, i.Name+"/"+classFiles[j].name)
		}
	}
	return paths
}

// Read implements kernel.Files.
func (f classes) Read(path string) []byte {
	name, file, _ := strings.Cut(path, "/")
	for _, i := range f.s.Interfaces() {
		if i.Name != name {
			continue
		}
		for j := range classFiles {
			if classFiles[j].name == file {
				return []byte(classFiles[j].get(&i) + "\n")
			}
		}
	}
	return nil
}

// Writable implements kernel.Files: interfaces are set by netlink.
func (f classes) Writable(string) bool { return false }

// Write implements kernel.Files.
func (f classes) Write(string, []byte) syscall.Errno { return syscall.EACCES }

// Tables are the files of /proc/net: the stack's, and those of other families, which others makes.
func (s *Stack) Tables(others map[string]func() []byte) kernel.Files { return tables{s, others} }

type tables struct {
	s      *Stack
	others map[string]func() []byte
}

// Paths implements kernel.Files.
func (f tables) Paths() []string {
	paths := f.s.ProcNetFiles()
	for name := range f.others {
		paths = append(paths, name)
	}
	slices.Sort(paths)
	return paths
}

// Read implements kernel.Files.
func (f tables) Read(path string) []byte {
	if make, ok := f.others[path]; ok {
		return make()
	}
	text, _ := f.s.ProcNet(path)
	return text
}

// Writable implements kernel.Files.
func (f tables) Writable(string) bool { return false }

// Write implements kernel.Files.
func (f tables) Write(string, []byte) syscall.Errno { return syscall.EACCES }
