package qemu

import (
	"fmt"
	"os"
	"strings"
)

// UsableKVM reports whether KVM runs ring-0 guests at full speed here, and if not, the reason. The
// existence of /dev/kvm is no proof: nested under some hypervisors the device exists and emulates
// kernel code slowly. So the processor must also have vmx or svm.
func UsableKVM() (bool, string) { return usableKVM("/dev/kvm", "/proc/cpuinfo") }

func usableKVM(device, cpuinfo string) (bool, string) {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case os.IsNotExist(err):
		return false, "there is no " + device
	case os.IsPermission(err):
		return false, fmt.Sprintf("no permission for %s (join its group: ls -l %s)", device, device)
	case err != nil:
		return false, err.Error()
	}
	f.Close()
	b, err := os.ReadFile(cpuinfo)
	if err != nil {
		return false, err.Error()
	}
	for line := range strings.Lines(string(b)) {
		key, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for _, f := range strings.Fields(flags) {
			if f == "vmx" || f == "svm" {
				return true, ""
			}
		}
		break
	}
	return false, "the processor shows neither vmx nor svm"
}
