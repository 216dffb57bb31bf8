package test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// protections are the forbidden things that testdata/protect does, each with what the fault's
// message and trace have. Without another status a fault ends in Go's, 2.
var protections = []struct {
	name   string
	want   []string
	status int
	cpus   string // of a machine that has what is protected; any has without it
}{
	{name: "text-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "text-alias-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "rodata-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "rodata-alias-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "data-not-executable", want: []string{"unexpected fault address", "main.run("}},
	{name: "bss-not-executable", want: []string{"unexpected fault address", "main.run("}},
	{name: "heap-not-executable", want: []string{"unexpected fault address", "main.run("}},
	{name: "stack-not-executable", want: []string{"unexpected fault address", "main.run("}},
	{name: "mapping-not-executable", want: []string{"unexpected fault address", "main.run("}},
	{name: "direct-map-no-execute", want: []string{"unexpected fault address", "main.run("}},
	{name: "mapping-read-only", want: []string{"unexpected fault address", "main.main"}},
	{name: "mapping-no-access", want: []string{"unexpected fault address", "main.main"}},
	{name: "unmapped-page-gone", want: []string{"unexpected fault address", "main.run("}},
	{name: "page-zero-unmapped", want: []string{"nil pointer dereference", "addr=0x18", "main.read("}},
	{name: "physical-memory-unmapped", want: []string{"unexpected fault address 0x100000", "main.read("}},
	{name: "goroutine-stack-end", want: []string{"goroutine stack exceeds 16777216-byte limit", "fatal error: stack overflow", "main.deeper"}},
	// As on Linux, where the handler has no stack either.
	{name: "thread-stack-guard", want: []string{"fatal: SIGSEGV, not handled"}, status: 128 + int(syscall.SIGSEGV)},
	{name: "machine-stack-guard", want: []string{"unexpected fault address", "main.write("}},
	{name: "idt-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "gdt-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "tss-read-only", want: []string{"unexpected fault address", "main.write("}},
	{name: "cpu-start-code-read-only", want: []string{"unexpected fault address", "main.write("}, cpus: "2"},
	{name: "cpu-start-code-unmapped", want: []string{"unexpected fault address", "main.read("}},
	{name: "firmware-not-in-map", want: []string{"unexpected fault address", "main.read("}},
	{name: "registers-not-in-map", want: []string{"unexpected fault address", "main.read("}},
	{name: "direct-map-ends-with-ram", want: []string{"unexpected fault address", "main.read("}},
}

// Each forbidden access ends in a fault with a name, and the program's exit, also when another
// CPU could have made it.
func TestProtections(t *testing.T) {
	t.Parallel()
	const program = "./test/testdata/protect"
	for _, p := range protections {
		t.Run(p.name, func(t *testing.T) {
			status := p.status
			if status == 0 {
				status = 2
			}
			for _, cpus := range []string{"1", "2"} {
				if p.cpus != "" && p.cpus != cpus {
					continue
				}
				got := vm.Run(t, vm.Options{Flags: []string{"-smp", cpus}, Target: program, Args: []string{p.name}})
				wantOutput(t, got, status, p.want...)
				if strings.Contains(got.Stdout, "nothing happened") {
					t.Errorf("%s did not fault", p.name)
				}
			}
		})
	}
	t.Run("recovered", func(t *testing.T) {
		got := vm.Run(t, vm.Options{Target: program, Args: []string{"recover"}})
		wantOutput(t, got, 0, "recovered\n")
	})
	t.Run("places-differ", func(t *testing.T) {
		var direct, window [3]string
		for i := range direct {
			got := vm.Run(t, vm.Options{Target: program, Args: []string{"places"}})
			if _, err := fmt.Sscan(got.Stdout, &direct[i], &window[i]); err != nil {
				t.Fatalf("%q: %v", got.Stdout, err)
			}
		}
		if direct[0] == direct[1] && direct[1] == direct[2] || window[0] == window[1] && window[1] == window[2] {
			t.Errorf("the direct map is at %v, the window for registers at %v", direct, window)
		}
	})
}

// Mmap(2) and its kin answer hostile arguments in a VM as on the host's Linux.
func TestMmapCalls(t *testing.T) {
	t.Parallel()
	const program = "./testdata/mmapcalls"
	host, err := exec.Command("go", "run", program).Output()
	if err != nil || !strings.HasSuffix(string(host), "done\n") || strings.Contains(string(host), "wrong") {
		t.Fatalf("on Linux: %v\n%s", err, host)
	}
	want := strings.Split(string(host), "\n")
	for _, cpus := range []string{"1", "2"} {
		got := vm.Run(t, vm.Options{Flags: []string{"-smp", cpus}, Target: "./test" + program[1:]})
		lines := strings.Split(got.Stdout, "\n")
		for i := range max(len(want), len(lines)) {
			if h, g := lineOf(want, i), lineOf(lines, i); h != g {
				t.Errorf("line %d:\n  Linux %s\n  yolk  %s", i+1, h, g)
			}
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
