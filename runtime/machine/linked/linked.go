// Package linked is the one list of the machine's packages that a program can
// carry, and of what makes it carry them. The go command offers all of them to the
// linker (tamagoDeps in cmd/go/internal/load), and the linker takes those that are
// wanted (loadTamago in cmd/link/internal/ld). Paths are those of the Go
// distribution that yolk toolchain makes: docs/port.md.
package linked

// When says when a package initialises.
type When int

const (
	First    When = iota // before the program's packages, in the order of the list
	Last                 // after them, before main.main
	OnDemand             // never: it has nothing to initialise, and goes in with what refers to it
)

// A Package is one of the machine's packages.
type Package struct {
	Path string
	When When
	// With are the packages that ask for it: one of them in the program is
	// enough. None means that every program has it.
	With []string
	// Beside are packages all of which the program must have, too.
	Beside []string
	// Tag is the build tag without which the go command does not offer it, or "".
	Tag string
}

// Packages that others are linked with.
const (
	randomness = "crypto/internal/sysrand"
	network    = "net"
	signals    = "os/signal"
	tests      = "testing"
	machine    = "github.com/yolk-unikernel/yolk/runtime" // this module's package runtime

	// OwnCalls is no package: it stands for any outside of the standard library that imports one of
	// CallPackages, and so may make any system call.
	OwnCalls = "system calls of its own"
	// OwnSockets is none either: it stands for any outside of the standard library that refers to one
	// of SocketCalls, and so may open internet sockets without package net.
	OwnSockets = "sockets of its own"
)

// CallPackages are the packages through which programs make system calls.
var CallPackages = []string{"syscall", "golang.org/x/sys/unix"}

// SocketCalls are what a program that calls Socket of one of CallPackages refers to, where the compiler
// inlines it and where it does not.
var SocketCalls = []string{
	"syscall.Socket", "syscall.socket", "syscall.SocketDisableIPv6",
	"golang.org/x/sys/unix.Socket", "golang.org/x/sys/unix.socket", "golang.org/x/sys/unix.SocketDisableIPv6",
}

// Packages of the wiring that the linker knows by name.
const (
	Wiring  = "runtime/yolk/wiring"
	Disks   = Wiring + "/disks"
	Folders = Wiring + "/folders"
	Net     = Wiring + "/net"
)

// Packages is the list.
var Packages = []Package{
	{Path: Wiring},
	{Path: Wiring + "/calls", With: []string{OwnCalls, tests}},
	{Path: Wiring + "/filemaps", With: []string{OwnCalls, tests}},
	{Path: Wiring + "/filters", With: []string{OwnCalls}},
	{Path: Disks, Tag: "yolkdisk"},
	{Path: Wiring + "/devices"},
	{Path: Wiring + "/streams"},
	{Path: Wiring + "/ask"},
	{Path: Wiring + "/ask/more", With: []string{"context", machine}},
	{Path: Wiring + "/entropy", With: []string{randomness, machine}},
	{Path: Wiring + "/resume", With: []string{randomness, machine, network, OwnSockets}},
	{Path: Wiring + "/certs", With: []string{"crypto/x509"}},
	{Path: Net, With: []string{network, OwnSockets}},
	{Path: Wiring + "/netcalls", With: []string{OwnCalls}, Beside: []string{Net}},
	{Path: Wiring + "/cards", With: []string{machine}}, // as much as NICs and OpenNIC refer to

	{Path: Wiring + "/power", When: Last, With: []string{signals, network, OwnSockets}},
	{Path: Wiring + "/balloon", When: Last, With: []string{randomness, machine, signals, network, OwnSockets}},

	{Path: Wiring + "/ask/pprof", When: Last, With: []string{"runtime/pprof"}},

	{Path: Wiring + "/zoneinfo", When: OnDemand}, // with time.LoadLocation, by a linkname
	{Path: Folders, When: OnDemand},              // with what makes paths for system calls: tamagoFolders
}

// Offered returns the paths of the packages that the go command offers to the
// linker of a program that is built with the given tags.
func Offered(tags []string) []string {
	var paths []string
	for _, p := range Packages {
		if p.Tag == "" || contains(tags, p.Tag) {
			paths = append(paths, p.Path)
		}
	}
	return paths
}

// Wanted reports whether a program that has the packages for which has returns true
// carries p.
func (p Package) Wanted(has func(path string) bool) bool {
	for _, b := range p.Beside {
		if !has(b) {
			return false
		}
	}
	for _, w := range p.With {
		if has(w) {
			return true
		}
	}
	return len(p.With) == 0
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
