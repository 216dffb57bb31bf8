package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/disks"
	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const calltable = "./test/testdata/calltable"

// Every system call answers as its level in docs/syscalls.md says, which is the kernel's table
// (kernel.TestTableDoc): a call that is served does not answer ENOSYS, one that is not served does,
// a stub answers as in its note, and of a call that is served in part some form succeeds.
func TestCallTable(t *testing.T) {
	docs := filepath.Join(vm.Root(t), "docs")
	text, err := os.ReadFile(filepath.Join(docs, "syscalls.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := len(regexp.MustCompile(`(?m)^\| \d+ \|`).FindAll(text, -1))
	for _, cpus := range []string{"1", "3"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			got := vm.Run(t, vm.Options{
				Flags:  []string{"-smp", cpus, "-files", docs + ":/docs", "-disk", disks.New(t, "16M") + ":/data"},
				Target: calltable,
			})
			called := 0
			for line := range strings.Lines(got.Stdout) {
				switch {
				case strings.HasPrefix(line, "wrong:"):
					t.Error(strings.TrimSpace(line))
				case strings.HasPrefix(line, "call "):
					called++
				}
			}
			if called != rows || !strings.HasSuffix(got.Stdout, "done\n") {
				t.Errorf("%d of %d calls were made; status %d\n%s", called, rows, got.Status, got.Stdout)
			}
		})
	}
}

// These calls end a thread or the machine.
func TestEndingCalls(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]vm.Result{
		"exit":       {Status: 7, Stdout: "another thread\n"},
		"exit_group": {Status: 5},
		"reboot":     {},
	} {
		t.Run(how, func(t *testing.T) {
			got := vm.Run(t, vm.Options{Flags: []string{"-smp", "2"}, Target: calltable, Args: []string{how}})
			if got.Status != want.Status || got.Stdout != want.Stdout {
				t.Errorf("status %d, console %q; want %d, %q", got.Status, got.Stdout, want.Status, want.Stdout)
			}
		})
	}
}
