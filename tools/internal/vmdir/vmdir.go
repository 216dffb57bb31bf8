// Package vmdir keeps what yolk knows of each VM in a folder of its own below [qemu.RunDir], so that
// no daemon has to:
//
//	vms/NAME/lock       locked by the process that holds the VM, as long as it lives
//	vms/NAME/vm.json    the [Description], which does not change
//	vms/NAME/state.json the [State], replaced as a whole
//	vms/NAME/control    the socket of that process (package control)
//	vms/NAME/log.N      the console (package vmlog)
//	vms/NAME/crash      what the Go runtime says if that process crashes
//
// The lock is the truth: the kernel gives it up when the process ends, however it does. A state that
// tells of a running VM beside a free lock is that of a process that was killed. A folder has all its
// files before it gets its name, and loses its name before it loses a file. Start with [Create] and
// [List].
package vmdir

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
)

// Description is what is fixed when a VM is made.
type Description struct {
	Name        string    `json:"name"`
	Image       string    `json:"image"` // path of the ELF file
	Program     string    `json:"program"`
	Created     time.Time `json:"created"`
	Foreground  bool      `json:"foreground"` // it belongs to a terminal, and its folder goes with it
	Memory      int64     `json:"memoryBytes"`
	CPUs        int       `json:"cpus"`
	Ports       []Port    `json:"ports"`
	Restart     string    `json:"restart"`               // the policy, as -restart has it
	StopTimeout int       `json:"stopTimeoutSeconds"`    // how long it may take to end when asked to, in seconds
	HealthCheck string    `json:"healthCheck,omitempty"` // as -health has it
	Start       *Start    `json:"start,omitempty"`       // nil for one in the foreground
}

// Port is a port of the host that is passed to the guest.
type Port struct {
	Proto string `json:"protocol"` // tcp or udp
	Host  string `json:"host"`     // ADDR:PORT
	Guest uint16 `json:"guest"`
}

// Start is what starts the VM again after its end.
type Start struct {
	Flags     []string `json:"flags"` // those of yolk run
	Arguments []string `json:"arguments"`
	Folder    string   `json:"folder"` // the working directory, to which the flags refer
	// Variables are NAME=VALUE of the variables of the host that the flags name. They may be
	// secrets: only the user may enter the folder.
	Variables []string `json:"variables"`
}

// Phases of a VM. All but the last two are those of a process that lives.
const (
	Starting   = "starting" // QEMU has been started, the guest has not been heard of
	Running    = "running"
	Stopping   = "stopping" // it was asked to end
	Restarting = "restarting"
	Ended      = "ended"
	Lost       = "lost" // the process that held it was killed, and QEMU with it
)

// State is what changes. One process writes it: the one that has the lock.
type State struct {
	Phase    string    `json:"state"`
	Since    time.Time `json:"since"`                  // of the phase
	Started  time.Time `json:"started"`                // the last start of QEMU
	Restarts int       `json:"restarts"`               // how often it was started again
	Next     time.Time `json:"next,omitzero"`          // when it starts again, if it is Restarting
	Holder   Process   `json:"holder"`                 // the process that holds the VM
	QEMU     Process   `json:"qemu"`                   // zero when there is none
	Health   string    `json:"health,omitempty"`       // starting, healthy or unhealthy; "" without a check
	Probe    string    `json:"healthDetail,omitempty"` // what the last check found
	End      *End      `json:"end,omitempty"`          // of the last run; nil before the first end
}

// Process names a process for good: IDs are used again, with another start time.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"startTicks"` // clock ticks after boot, proc_pid_stat(5) field 22
}

// Kinds of an end.
const (
	Exit        = "exit"               // the program ended with a status
	Signal      = "signal"             // a signal ended the program
	OutOfMemory = "out of memory"      // the guest had no memory left
	Fault       = "machine fault"      // the machine ended without a status, or found a bug in itself
	Killed      = "killed"             // by yolk kill or a second signal
	AfterGrace  = "killed after grace" // it was asked to end and did not
	VMMError    = "VMM error"          // QEMU could not start the machine, or gave up
	VMMSignal   = "VMM killed"         // a signal from outside ended QEMU
	LostEnd     = "lost"               // see Lost
)

// End tells how a run ended.
type End struct {
	Kind   string    `json:"kind"`
	Status int       `json:"status"` // what yolk exits with for it
	Signal string    `json:"signal,omitempty"`
	Reason string    `json:"reason"` // a sentence for people
	At     time.Time `json:"at"`     // zero if nobody was there to see it
}

// VM is a folder, read at one moment.
type VM struct {
	Description
	State
	Dir string `json:"folder"`
}

// Alive reports whether a process holds the VM.
func (vm *VM) Alive() bool { return vm.Phase != Ended && vm.Phase != Lost }

// Root returns the folder of the folders, which it makes.
func Root() (string, error) {
	dir, err := qemu.RunDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "vms")
	return dir, os.MkdirAll(dir, 0o700)
}

// Names of the files in a folder.
const (
	lockFile        = "lock"
	descriptionFile = "vm.json"
	stateFile       = "state.json"
	crashFile       = "crash"
)

// writeJSON replaces a file as a whole.
func writeJSON(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
