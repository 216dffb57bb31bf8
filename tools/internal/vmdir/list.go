package vmdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// List returns the user's VMs, oldest first. It removes the folders of those in the foreground whose
// process was killed.
func List() ([]VM, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var list []VM
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			sweep(path)
			continue
		}
		vm, err := read(path)
		if errors.Is(err, fs.ErrNotExist) { // it has just been removed
			continue
		}
		if err != nil {
			return nil, err
		}
		if vm.Foreground && !vm.Alive() {
			forget(e.Name())
			continue
		}
		list = append(list, *vm)
	}
	slices.SortFunc(list, func(a, b VM) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// Find returns the VM with a name.
func Find(name string) (*VM, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if !ValidName(name) {
		return nil, noVM(name)
	}
	vm, err := read(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noVM(name)
	}
	return vm, err
}

// read reads a folder. The lock is asked after first: a process writes its last state before it gives
// the lock up, so that a state that is read after is the last one.
func read(path string) (*VM, error) {
	held, err := locked(filepath.Join(path, lockFile))
	if err != nil {
		return nil, err
	}
	vm := &VM{Dir: path}
	if err := readJSON(filepath.Join(path, descriptionFile), &vm.Description); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(path, stateFile), &vm.State); err != nil {
		return nil, err
	}
	if !held && vm.Phase != Ended {
		vm.lose()
	}
	return vm, nil
}

// lostStatus is that of a process that SIGKILL has ended.
const lostStatus = 128 + 9

// lose makes the state that of a VM whose process was killed.
func (vm *VM) lose() {
	reason := fmt.Sprintf("yolk's process %d, which held the VM, was killed, and QEMU with it", vm.Holder.PID)
	if text, err := os.ReadFile(filepath.Join(vm.Dir, crashFile)); err == nil && len(text) > 0 {
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		reason = fmt.Sprintf("yolk's process %d, which held the VM, crashed (%s; see %s), and QEMU ended with it", vm.Holder.PID, line, filepath.Join(vm.Dir, crashFile))
	}
	vm.End = &End{Kind: LostEnd, Status: lostStatus, Signal: "SIGKILL", Reason: reason}
	vm.Phase, vm.Health, vm.Probe, vm.Next = Lost, "", "", time.Time{}
	vm.State.QEMU.reap()
	vm.State.QEMU = Process{}
}

// forget removes the folder of a VM that has ended, if nobody has started it again.
func forget(name string) {
	if f, err := Reopen(name); err == nil {
		f.Remove()
	}
}

// sweepAge is the age at which a folder without a name was left by a process that was killed.
const sweepAge = time.Minute

// sweep removes a folder whose process was killed before it gave it a name, or after it took it away.
func sweep(path string) {
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()) < sweepAge {
		return
	}
	if held, err := locked(filepath.Join(path, lockFile)); held || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	os.RemoveAll(path)
}
