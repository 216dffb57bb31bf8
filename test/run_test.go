package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

func TestHello(t *testing.T) {
	t.Parallel()
	got := runProg(t, nil, "hello")
	if got.Stdout != "hello, world\n" || got.Status != 0 {
		t.Errorf("got %+v; want the one line and nothing else", got)
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 42, 128, 255} {
		if got := runProg(t, nil, "exit", fmt.Sprint(n)); got.Status != n {
			t.Errorf("os.Exit(%d): yolk exits with %d", n, got.Status)
		}
	}
}

func TestMachines(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			wantOutput(t, runProg(t, []string{"-machine", machine}, "hello"), 0, "hello, world\n")
			startServe(t, "-machine", machine)
		})
	}
}

// Every CPU of the machine runs threads.
func TestCPUs(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		for _, n := range []string{"1", "2", "4"} {
			t.Run(machine+"/"+n, func(t *testing.T) {
				t.Parallel()
				got := runProg(t, []string{"-machine", machine, "-smp", n}, "cpus")
				wantOutput(t, got, 0, n+" "+n+" "+n+"\n")
			})
		}
	}
}

func TestCPUTime(t *testing.T) {
	t.Parallel()
	got := runProg(t, []string{"-smp", "2"}, "cputime")
	var busy, busyStat, idle, idleStat float64
	if _, err := fmt.Sscanf(got.Stdout, "busy %f %f\nidle %f %f\n", &busy, &busyStat, &idle, &idleStat); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if busy < 1.5 || busy > 2.1 || busyStat < 1.5 || busyStat > 2.1 || idle > 0.3 || idleStat > 0.3 {
		t.Errorf("CPU time per second: %.1f and %.1f with two busy goroutines, %.1f and %.1f idle; want 2 and 0", busy, busyStat, idle, idleStat)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	got := runProg(t, nil, "panic")
	wantOutput(t, got, 2, "panic: boom", "goroutine 1", "main.go:")
}

func TestDeadlockIsReported(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "deadlock"), 2, "all goroutines are asleep - deadlock!")
}

func TestFaultsArePanics(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "recover"), 0, "nil: true", "zero: true", "index: true")
}

// Heap, mappings and the first stack lie elsewhere at each boot.
func TestAddressesDiffer(t *testing.T) {
	t.Parallel()
	one := strings.Fields(runProg(t, nil, "addresses").Stdout)
	two := strings.Fields(runProg(t, nil, "addresses").Stdout)
	if len(one) != 3 || len(two) != 3 {
		t.Fatalf("got %q and %q; want three addresses each", one, two)
	}
	for i, what := range []string{"heap", "mapping", "stack"} {
		if one[i] == two[i] || !strings.HasPrefix(one[i], "0x") {
			t.Errorf("the %s is at %s in two boots", what, one[i])
		}
	}
}

// The goroutines of the kernel and the network stack are not visible to the program.
func TestKernelGoroutinesAreInvisible(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: ".", Dir: filepath.Join(vm.Root(t), "test/testdata/invisible")})
	wantOutput(t, got, 0, "goroutines 1\n", "after use 2\n", "leaks <nil>\n", "goroutine profile: total 2\n")
}

func TestSpinningGoroutineStopsNobody(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "spin"), 0, "tick 0\ntick 1\ntick 2\n")
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "goroutine"), 0, "sum 49995000")
}

func TestDeepRecursion(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "deep"), 0, "1000000")
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	got := runProg(t, []string{"-m", "64M"}, "oom")
	if got.Status == 0 || got.Status == 125 || !strings.Contains(strings.ToLower(got.Stderr), "out of memory") {
		t.Errorf("got %+v; want a status that is not 0 and the words out of memory", got)
	}
	if !strings.Contains(got.Stderr, " MiB Go heap; ") {
		t.Errorf("%q does not say that the heap has the memory", got.Stderr)
	}
}

func TestSmallMemory(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, []string{"-m", "16M"}, "hello"), 0, "hello, world\n")
	// At most 1 MiB for each additional CPU, all of them busy.
	wantOutput(t, runProg(t, []string{"-m", "19M", "-smp", "4"}, "cpus"), 0, "4 4 4\n")
}

func TestArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{
		Flags:  []string{"-e", "GREETING=two words\n\"and a quote\"", "-e", "EMPTY=", "-hostname", "box", "-w", "/tmp"},
		Target: prog, Args: []string{"show", "a b", "", `back\slash`, "ü"},
	})
	wantOutput(t, got, 0,
		`args ["show" "a b" "" "back\\slash" "ü"]`, "cwd /tmp", "hostname box",
		`env "EMPTY="`, `env "GREETING=two words\n\"and a quote\""`)
}

func TestStdin(t *testing.T) {
	t.Parallel()
	got := vm.Run(t, vm.Options{Target: prog, Args: []string{"upper"}, Stdin: strings.NewReader("one\ntwo\nthree")})
	if want := "ONE\nTWO\nTHREEEND\n"; got.Stdout != want || got.Status != 0 {
		t.Errorf("got %+v; want %q", got, want)
	}
	if got := runProg(t, nil, "upper"); got.Stdout != "END\n" {
		t.Errorf("empty input: %+v; want its end at once", got)
	}
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			m := vm.Start(t, vm.Options{Target: prog, Args: []string{"signal"}})
			m.WaitFor("waiting")
			m.Signal(sig)
			m.WaitFor("asked to stop")
			if status := m.Wait(); status != 9 {
				t.Errorf("exit status %d; want the program's 9", status)
			}
		})
	}
}

func TestNoProcesses(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "exec"), 0, "no processes: true")
}

func TestClock(t *testing.T) {
	t.Parallel()
	got := runProg(t, nil, "clock")
	wantOutput(t, got, 0, "slept true")
	_, stamp, _ := strings.Cut(strings.TrimSpace(got.Stdout), "slept true ")
	when, err := time.Parse(time.RFC3339, stamp)
	if err != nil || time.Since(when).Abs() > 5*time.Minute {
		t.Errorf("the guest's wall clock says %q, %v; here it is %v", stamp, err, time.Now().UTC())
	}
}

func TestTemporaryFiles(t *testing.T) {
	t.Parallel()
	wantOutput(t, runProg(t, nil, "temp"), 0, "kept true")
}

func TestInitialFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for name, text := range map[string]string{"a.txt": "alpha\n", "sub/b.txt": "beta\n", "big": big} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("sub/b.txt", filepath.Join(dir, "link"))
	flags := []string{"-files", dir + ":/srv/data"}
	got := vm.Run(t, vm.Options{Flags: flags, Target: prog, Args: []string{"cat", "/srv/data/a.txt", "/srv/data/link", "/srv/data/big"}})
	if want := "alpha\nbeta\n" + big; got.Stdout != want {
		t.Errorf("the guest read %d bytes; want the %d of the files", len(got.Stdout), len(want))
	}
	got = vm.Run(t, vm.Options{Flags: flags, Target: prog, Args: []string{"tree", "/srv/data"}})
	wantOutput(t, got, 0, "/srv/data drwx", "/srv/data/a.txt -rw-r-----", "/srv/data/link Lrwxrwxrwx sub/b.txt")
}

// The answer to a line typed by hand comes at once, not at the end of the input.
func TestConsoleIsInteractive(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := vm.Start(t, vm.Options{Target: prog, Args: []string{"upper"}, Stdin: r})
	for _, word := range []string{"first", "second"} {
		fmt.Fprintln(w, word)
		m.WaitFor(strings.ToUpper(word) + "\n")
	}
	w.Close()
	m.WaitFor("END")
}

// A device whose registers move does not disturb accesses of other CPUs to other devices.
func TestRegistersOfOthers(t *testing.T) {
	for _, machine := range []string{"q35", "pc"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			got := vm.Run(t, vm.Options{Flags: []string{"-machine", machine, "-smp", "3"}, Target: "./test/testdata/registers"})
			wantOutput(t, got, 0, "read right\n")
		})
	}
}
