package test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// inside is a VM that is asked.
type inside struct {
	t   *testing.T
	vm  *vm.VM
	env []string
}

func startInside(t *testing.T, flags []string, target string, stdin io.Reader, args ...string) *inside {
	t.Helper()
	env := []string{"XDG_RUNTIME_DIR=" + t.TempDir()}
	m := vm.Start(t, vm.Options{Timeout: 3 * time.Minute, Flags: append(flags, "-name", "x"), Target: target, Args: args, Env: env, Stdin: stdin})
	return &inside{t, m, env}
}

func (i *inside) ask(args ...string) vm.Result {
	i.t.Helper()
	return vm.Yolk(i.t, vm.Options{Env: i.env}, append([]string{"ask", "x"}, args...)...)
}

// must asks, and wants each of these texts in the answer.
func (i *inside) must(args []string, want ...string) string {
	i.t.Helper()
	got := i.ask(args...)
	for _, w := range want {
		if got.Status != 0 || !strings.Contains(got.Stdout, w) {
			i.t.Errorf("yolk ask x %q: %+v; want %q", args, got, w)
		}
	}
	return got.Stdout
}

// profile asks for a profile, and returns what each function on the stacks has of a value.
func (i *inside) profile(value string, args ...string) map[string]int64 {
	i.t.Helper()
	file := filepath.Join(i.t.TempDir(), "p")
	i.must(append(args, "-o", file), "")
	f, err := os.Open(file)
	if err != nil {
		i.t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		i.t.Fatal(err)
	}
	at := -1
	for n, typ := range p.SampleType {
		if typ.Type == value {
			at = n
		}
	}
	if at < 0 {
		i.t.Fatalf("no %s in %v", value, p.SampleType)
	}
	found := map[string]int64{}
	for _, s := range p.Sample {
		for _, l := range s.Location {
			for _, line := range l.Line {
				found[line.Function.Name] += s.Value[at]
			}
		}
	}
	return found
}

// Each answer about a program that waits for ever, and about one whose only CPU is never given up.
func TestAsk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode, stack string
		flags       []string
	}{
		{"blocked", "main.waitForever", []string{"-smp", "2"}},
		{"spin", "main.spin", []string{"-smp", "1"}},
		{"spin", "main.spin", []string{"-smp", "2", "-machine", "q35"}},
	} {
		t.Run(tt.mode+strings.Join(tt.flags, ""), func(t *testing.T) {
			t.Parallel()
			i := startInside(t, append(tt.flags, "-p", ":8080"), "./test/testdata/inside", nil, tt.mode)
			i.vm.WaitFor("up\n")
			stacks := i.must([]string{"goroutines"}, "goroutine 1 [", tt.stack, "main.main()")
			if strings.Contains(stacks, "wiring/ask") {
				t.Errorf("a goroutine of the kernel is shown:\n%s", stacks)
			}
			if heap := i.profile("inuse_space", "heap"); heap["main.main"] < 32<<20 {
				t.Errorf("the heap has %d bytes of main.main; want 32 MiB: %v", heap["main.main"], heap)
			}
			i.must([]string{"ss"}, "tcp6", "LISTEN", "[::]:8080")
			i.must([]string{"routes"}, "0.0.0.0/0", "10.0.2.2", "eth0")
			i.must([]string{"mounts"}, "/proc", "tmpfs")
			i.must([]string{"files"}, "/open file", "socket:[")
			i.must([]string{"queues"}, "net", "receive", "waits", "console")
			i.must([]string{"dmesg"}, "")
			if tt.mode == "spin" {
				if cpu := i.profile("cpu", "profile", "-seconds", "2"); cpu["main.spin"] < 5e8 || cpu["main.main"] < cpu["main.spin"]*9/10 {
					t.Errorf("main.spin has %d ns of two seconds: %v", cpu["main.spin"], cpu)
				}
			}
		})
	}
}

// go tool trace reads a trace, and finds the goroutine that spins in it.
func TestAskTrace(t *testing.T) {
	t.Parallel()
	i := startInside(t, []string{"-smp", "1"}, "./test/testdata/inside", nil, "spin")
	i.vm.WaitFor("up\n")
	file := filepath.Join(t.TempDir(), "trace")
	i.must([]string{"trace", "-seconds", "2", "-o", file}, "")
	out, err := exec.Command("go", "tool", "trace", "-d=parsed", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "main.spin") {
		t.Errorf("go tool trace: %v, %d bytes without main.spin\n%.500s", err, len(out), out)
	}
}

// The answers for scripts, and what they say.
func TestAskJSON(t *testing.T) {
	t.Parallel()
	i := startInside(t, nil, "./test/testdata/inside", nil, "blocked")
	i.vm.WaitFor("up\n")
	var sockets []struct{ Kind, State, Local string }
	if err := json.Unmarshal([]byte(i.must([]string{"ss", "-json"})), &sockets); err != nil || len(sockets) != 1 || sockets[0].Local != "[::]:8080" || sockets[0].State != "LISTEN" {
		t.Errorf("%+v, %v", sockets, err)
	}
	var files []struct {
		Name     string
		Position int
	}
	schema, err := jsonschema.NewCompiler().Compile("../docs/inside.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"ss", "routes", "mounts", "files", "queues"} {
		got := i.must([]string{what, "-json"})
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
		if err == nil {
			err = schema.Validate(doc)
		}
		if err != nil {
			t.Errorf("%s is not what docs/inside.schema.json says: %v\n%s", what, err, got)
		}
	}
	if err := json.Unmarshal([]byte(i.must([]string{"files", "-json"})), &files); err != nil || len(files) < 5 {
		t.Errorf("%+v, %v", files, err)
	}
	for _, f := range files {
		if f.Name == "/open file" && f.Position != 4 {
			t.Errorf("%+v; want the position 4", f)
		}
	}
}

// Names come from the image that runs, not from one that was built in its place.
func TestAskOtherImage(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "app.elf")
	build := func(target string) {
		if got := vm.Yolk(t, vm.Options{}, "build", "-o", image, target); got.Status != 0 {
			t.Fatalf("yolk build: %+v", got)
		}
	}
	build("./test/testdata/inside")
	i := startInside(t, nil, image, nil, "spin")
	i.vm.WaitFor("up\n")
	i.must([]string{"heap", "-o", os.DevNull}, "")
	build("./test/testdata/inside/plain")
	if got := i.ask("heap", "-o", os.DevNull); got.Status != 1 || !strings.Contains(got.Stderr, "is not what the VM runs any more") {
		t.Errorf("%+v; want that the image is another one", got)
	}
}

// The smallest programs tell of their goroutines, and say why not more.
func TestAskPlain(t *testing.T) {
	t.Parallel()
	i := startInside(t, nil, "./test/testdata/inside/plain", nil)
	i.vm.WaitFor("up\n")
	i.must([]string{"goroutines"}, "main.spin")
	if got := i.ask("heap"); got.Status != 1 || !strings.Contains(got.Stderr, "package context") {
		t.Errorf("%+v; want what the image lacks", got)
	}
	if got := i.ask("dance"); got.Status != 2 || !strings.Contains(got.Stderr, "yolk ask -h") {
		t.Errorf("%+v", got)
	}
}

// A program that records itself is left alone, and one that wants to while the host records gets an error. What a
// host has begun that goes away is ended.
func TestAskOwn(t *testing.T) {
	t.Parallel()
	in, typed := io.Pipe()
	defer typed.Close()
	i := startInside(t, nil, "./test/testdata/inside/own", in)
	i.vm.WaitFor("trace <nil>\n")
	for _, what := range []string{"profile", "trace"} {
		if got := i.ask(what, "-seconds", "1", "-o", os.DevNull); got.Status != 1 || !strings.Contains(got.Stderr, "the program itself") {
			t.Errorf("%s: %+v", what, got)
		}
	}
	io.WriteString(typed, "stop\n")
	i.vm.WaitFor("stopped\n")
	for what, refused := range map[string]string{"profile": "cpu profiling already in use", "trace": "tracing is already enabled"} {
		file := filepath.Join(t.TempDir(), what)
		cmd := exec.Command(vm.Command(t), "ask", "x", what, "-seconds", "600", "-o", file)
		cmd.Env = append(os.Environ(), i.env...)
		said, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := said.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(typed, what+"\n")
		i.vm.WaitFor(refused)
		cmd.Process.Signal(os.Interrupt) // which is enough
		go io.Copy(io.Discard, said)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s, interrupted: %v", what, err)
		}
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s, interrupted: %v; want what was recorded", what, err)
		}
		killed := exec.Command(cmd.Path, cmd.Args[1:]...)
		killed.Env = cmd.Env
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		killed.Process.Kill()
		killed.Wait()
		i.must([]string{what, "-seconds", "1", "-o", file}, "")
		io.WriteString(typed, what+"\n")
		i.vm.WaitFor(what + " again <nil>")
	}
}
