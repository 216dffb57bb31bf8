package test

import (
	"os"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The soak program finds no corruption and no growth on four CPUs, nor with the collector's stress
// settings. make soak runs it for half an hour and also checks for stalls, which this test does
// not, because other VMs share the host.
func TestSoak(t *testing.T) {
	length := "10s"
	if s := os.Getenv("SOAK"); s != "" {
		length = s
	}
	for name, flags := range map[string][]string{
		"plain":  nil,
		"stress": {"-e", "GODEBUG=gccheckmark=1,clobberfree=1", "-e", "GOGC=10"},
	} {
		t.Run(name, func(t *testing.T) {
			flags = append([]string{"-smp", "4", "-m", "512M"}, flags...)
			got := vm.Run(t, vm.Options{Flags: flags, Target: "./test/testdata/soak", Args: []string{"-for", length, "-stall", "1h"}})
			wantOutput(t, got, 0, "soak: ok\n")
		})
	}
}

// A signal may find a thread in any wait, also that of the interrupts' server: no thread runs twice
// because of it.
func TestSignalsToEveryThread(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Flags: []string{"-smp", "4"}, Target: "./test/testdata/signals"})
	wantOutput(t, got, 0, "fine\n")
}
