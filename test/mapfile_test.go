package test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/test/disks"
	"github.com/yolk-unikernel/yolk/test/vm"
)

// Mappings of a disk's files, read and write agree; so does what is on the disk
// afterwards.
func TestMappedFiles(t *testing.T) {
	for _, cpus := range []string{"1", "4"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			image := disks.New(t, "512M")
			got := vm.Run(t, vm.Options{
				Flags:  []string{"-smp", cpus, "-m", "96M", "-disk", image + ":/data"},
				Target: "./test/testdata/mapfile",
				Args:   []string{"/data"},
			})
			wantOutput(t, got, 0, "fine\n")
			disks.WantClean(t, image)
		})
	}
}
