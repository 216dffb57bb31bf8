package test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/disks"
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

// With -strict there is no way to new executable memory, for anonymous memory, files in RAM and
// files of a disk. (Without it there is: unmapped-page-gone runs code that it has written.)
func TestStrict(t *testing.T) {
	t.Parallel()
	const program = "./test/testdata/protect"
	flags := []string{"-strict", "-smp", "2", "-disk", disks.New(t, "16M") + ":/data"}
	args := []string{"strict", "/tmp/f", "/data/f"}
	got := vm.Run(t, vm.Options{Flags: flags, Target: program, Args: args})
	wantOutput(t, got, 0, "strict\n")
	if strings.Contains(got.Stdout, "wrong") {
		t.Error("with -strict some memory became executable")
	}
	got = vm.Run(t, vm.Options{Flags: []string{"-qemu-arg", "-append", "-qemu-arg", "yolk.wx=1"}, Target: program, Args: args})
	wantOutput(t, got, 125, "yolk.wx= has one value, strict")
}

// Ordinary programs run strictly: collection, preemption, threads, panics.
func TestStrictPrograms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		want string
	}{
		{"recover", "nil: true"}, {"goroutine", "sum 49995000"}, {"spin", "tick 2\n"}, {"deep", "1000000"},
	} {
		got := runProg(t, []string{"-strict", "-smp", "2"}, c.what)
		wantOutput(t, got, 0, c.want)
	}
}

// auditRange is a line of the list that the word yolk.audit asks for (docs/memory.md).
type auditRange struct {
	start, end   uint64
	rights, what string
}

// audit boots an image with the word and reads the list.
func audit(t *testing.T, flags ...string) (list []auditRange) {
	t.Helper()
	flags = append(flags, "-qemu-arg", "-append", "-qemu-arg", "yolk.audit")
	got := vm.Run(t, vm.Options{Flags: flags, Target: "./examples/hello"})
	for line := range strings.Lines(got.Stderr) {
		var r auditRange
		rest, ok := strings.CutPrefix(line, "map ")
		if strings.HasPrefix(line, "yolk: ") { // of a build
			continue
		}
		n, err := fmt.Sscanf(rest, "%v %v %s", &r.start, &r.end, &r.rights)
		if !ok || n != 3 {
			t.Fatalf("line %q: %v", line, err)
		}
		_, r.what, _ = strings.Cut(strings.TrimSpace(rest), r.rights+" ")
		list = append(list, r)
	}
	if got.Status != 0 || len(list) < 10 {
		t.Fatalf("status %d, console:\n%s", got.Status, got.Console())
	}
	return list
}

// What the page tables map when the program starts: no page is writable and executable, nothing but
// the program's code is executable, all code and constants are read-only by each of their addresses,
// and RAM alone is in the direct map.
func TestAudit(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"-smp", "2"}, {"-machine", "q35", "-m", "512M"}} {
		list := audit(t, flags...)
		ram, readOnly, last := uint64(0), uint64(0), uint64(0)
		for _, r := range list {
			code := r.what == "program image" && r.start == 0x400000
			if r.start < last || r.end <= r.start || r.start%4096 != 0 || r.end%4096 != 0 {
				t.Errorf("%+v follows %#x", r, last)
			}
			last = r.end
			if x := r.rights[2] == 'x'; x != code || x && r.rights[1] == 'w' || r.rights[0] != 'r' {
				t.Errorf("%+v: the rights are wrong", r)
			}
			switch {
			case r.start < 1<<47 != strings.HasPrefix(r.what, "program "):
				t.Errorf("%+v belongs to somebody else", r)
			case r.what == "machine RAM":
				ram += r.end - r.start
				if r.rights == "r--" {
					readOnly += r.end - r.start
				}
			case r.what == "program image" && r.rights[1] == '-':
				readOnly -= r.end - r.start
			}
		}
		if ram < 255<<20 || ram > 512<<20 {
			t.Errorf("%v: the direct map has %d bytes", flags, ram)
		}
		// The code, the constants, IDT, GDT; with two CPUs the code that starts one.
		if most := uint64(3 * 4096); readOnly < 2*4096 || readOnly > most {
			t.Errorf("%v: beside the image %d bytes of RAM are read-only; want 2 or 3 pages", flags, int64(readOnly))
		}
	}
}

// Mmap(2) and its kin answer hostile arguments in a VM as on the host's Linux.
func TestMmapCalls(t *testing.T) {
	t.Parallel()
	if flags, _ := os.ReadFile("/proc/cpuinfo"); strings.Contains(string(flags), " la57") {
		t.Skip("this host has page tables of five levels: its addresses end elsewhere")
	}
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
