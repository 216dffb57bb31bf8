package databases

import (
	"encoding/json"
	"flag"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

var suites = flag.String("suites", "", "run these databases' own tests: bbolt,pebble,badger,sqlite, or all")

// A suite is the tests of a public module, which run unmodified in a VM with an ext4 disk as /tmp.
type suite struct {
	name, module string
	packages     []string
	size, memory string // of the disk and the VM
	timeout      time.Duration
	skip         string // tests that need what a VM does not have
}

var ownTests = []suite{
	{name: "bbolt", module: "go.etcd.io/bbolt@v1.4.3", packages: []string{"."}, size: "2G", memory: "4G", timeout: time.Hour}, // one test makes a value of 2 GiB
	{name: "pebble", module: "github.com/cockroachdb/pebble@v1.1.5", packages: []string{".", "./vfs", "./record", "./sstable"}, size: "4G", memory: "4G", timeout: 2 * time.Hour,
		skip: "^TestLock$"}, // starts a process
	{name: "badger", module: "github.com/dgraph-io/badger/v4@v4.8.0", packages: []string{".", "./table", "./skl", "./y"}, size: "8G", memory: "4G", timeout: 2 * time.Hour},
	{name: "sqlite", module: "modernc.org/sqlite@v1.38.0", packages: []string{"."}, size: "4G", memory: "2G", timeout: 2 * time.Hour,
		skip: "^TestConcurrentGoroutines$"}, // runs the go command
}

// Databases pass their own tests on a disk.
func TestSuites(t *testing.T) {
	if *suites == "" {
		t.Skip("takes an hour or more: -suites all, or make databases-own")
	}
	for _, s := range ownTests {
		if *suites == "all" || strings.Contains(","+*suites+",", ","+s.name+",") {
			t.Run(s.name, s.run)
		}
	}
}

func (s suite) run(t *testing.T) {
	out, err := exec.Command("go", "mod", "download", "-json", s.module).Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("go mod download %s: %v\n%s", s.module, err, out)
	}
	disk := disks.New(t, s.size)
	args := []string{"test", "-accel", "tcg", "-smp", "2", "-m", s.memory, "-disk", disk + ":/tmp", "-p", "1", "-short", "-timeout", s.timeout.String()}
	if s.skip != "" {
		args = append(args, "-skip", s.skip)
	}
	got := vm.Yolk(t, vm.Options{Dir: module.Dir, Timeout: s.timeout}, append(args, s.packages...)...)
	if got.Status != 0 {
		t.Errorf("status %d", got.Status)
	}
	t.Log(got.Stdout)
	disks.Run(t, "e2fsck", "-fn", disk)
}
