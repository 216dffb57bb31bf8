package vmdir

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test binary is also a process that holds a VM until it is killed.
func TestMain(m *testing.M) {
	if name := os.Getenv("YOLK_TEST_HOLD"); name != "" {
		f, err := Create(Description{Name: name, Created: time.Now()}, State{Phase: Running, Holder: Process{PID: os.Getpid()}})
		if text := os.Getenv("YOLK_TEST_CRASH"); text != "" && err == nil {
			os.WriteFile(filepath.Join(f.Path, crashFile), []byte(text), 0o600)
		}
		fmt.Println(err)
		select {}
	}
	os.Exit(m.Run())
}

// hold starts a process that holds a VM, and returns what kills it.
func hold(t *testing.T, name string, env ...string) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "YOLK_TEST_HOLD="+name), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { cmd.Process.Kill(); cmd.Wait() }
	t.Cleanup(kill)
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("holding %s: %s", name, line)
	}
	return kill
}

func runFolder(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
}

// listed returns the names and phases of all VMs.
func listed(t *testing.T) string {
	t.Helper()
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, vm := range list {
		words = append(words, vm.Name+":"+vm.Phase)
	}
	return strings.Join(words, " ")
}

func create(t *testing.T, d Description) *Folder {
	t.Helper()
	d.Created = time.Now()
	f, err := Create(d, State{Phase: Running})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Release)
	return f
}

func TestNames(t *testing.T) {
	for program, want := range map[string]string{
		"/x/web.elf": "web", "web": "web", "/tmp/go-build1/b001/codec.test": "codec.test",
		"my app": "my-app", ".": "vm", "_x": "x", strings.Repeat("a", 100): strings.Repeat("a", 56),
	} {
		if got := nameOf(program); got != want {
			t.Errorf("nameOf(%s) = %s; want %s", program, got, want)
		}
	}
	for _, bad := range []string{"", ".x", "-x", "a/b", "..", "a b", strings.Repeat("a", 65)} {
		if ValidName(bad) {
			t.Errorf("ValidName(%q)", bad)
		}
		if _, err := Find(bad); err == nil || !strings.Contains(err.Error(), "there is no VM") {
			t.Errorf("Find(%q): %v", bad, err)
		}
	}
}

// Many at once get different names of one program, and a name that is asked for goes to one alone.
func TestNamesAreUnique(t *testing.T) {
	runFolder(t)
	const n = 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	names, won := map[string]bool{}, 0
	for range n {
		wg.Go(func() {
			f, err := Create(Description{Program: "web.elf"}, State{})
			g, taken := Create(Description{Name: "db"}, State{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Release()
			names[f.Name] = true
			switch {
			case taken == nil:
				won++
				t.Cleanup(g.Release)
			case !errors.Is(taken, ErrTaken):
				t.Error(taken)
			}
		})
	}
	wg.Wait()
	if len(names) != n || !names["web"] || !names["web-20"] {
		t.Errorf("names %v; want web to web-20", names)
	}
	if won != 1 {
		t.Errorf("%d VMs are called db; want 1", won)
	}
}

// The error of a name that is taken says what frees it.
func TestTaken(t *testing.T) {
	runFolder(t)
	f := create(t, Description{Name: "web"})
	if _, err := Create(Description{Name: "web"}, State{}); err == nil || !strings.Contains(err.Error(), "yolk stop web") {
		t.Errorf("%v; want to stop it", err)
	}
	f.SetState(State{Phase: Ended})
	f.Release()
	if _, err := Create(Description{Name: "web"}, State{}); err == nil || !strings.Contains(err.Error(), "yolk rm web") {
		t.Errorf("%v; want to remove it", err)
	}
	if f, err := Reopen("web"); err != nil {
		t.Error(err)
	} else if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if got := listed(t); got != "" {
		t.Errorf("after the removal there is %s", got)
	}
	create(t, Description{Name: "web"})
}

// A process that is killed cannot say so: the free lock does.
func TestKilledHolder(t *testing.T) {
	runFolder(t)
	kill := hold(t, "web")
	if got := listed(t); got != "web:running" {
		t.Errorf("there is %s; want web:running", got)
	}
	if _, err := Reopen("web"); !errors.Is(err, ErrTaken) {
		t.Errorf("Reopen of a VM that is held: %v", err)
	}
	kill()
	vm, err := Find("web")
	if err != nil {
		t.Fatal(err)
	}
	if vm.Phase != Lost || vm.Alive() || vm.End == nil || vm.End.Status != 137 || !strings.Contains(vm.End.Reason, fmt.Sprintf("process %d, which held the VM, was killed", vm.Holder.PID)) {
		t.Errorf("state %+v, end %+v; want that it is lost, and why", vm.State, vm.End)
	}
}

func TestCrashedHolder(t *testing.T) {
	runFolder(t)
	hold(t, "web", "YOLK_TEST_CRASH=panic: no\n\ngoroutine 1")()
	if vm, err := Find("web"); err != nil || vm.End == nil || !strings.Contains(vm.End.Reason, "crashed (panic: no; see ") {
		t.Errorf("%+v, %v; want the panic in the reason", vm, err)
	}
}

// QEMU that is still there when its VM is lost is ended, and another process with its ID is not.
func TestNoOrphan(t *testing.T) {
	runFolder(t)
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { sleep.Wait(); close(ended) }()
	defer sleep.Process.Kill()
	p, err := ProcessOf(sleep.Process.Pid)
	if err != nil || !p.Alive() {
		t.Fatal(p, err)
	}
	other := Process{p.PID, p.Start + 1}
	f := create(t, Description{Name: "web"})
	f.SetState(State{Phase: Running, QEMU: other})
	f.Release()
	listed(t)
	select {
	case <-ended:
		t.Fatal("another process was ended")
	case <-time.After(50 * time.Millisecond):
	}
	if f, err = Reopen("web"); err != nil {
		t.Fatal(err)
	}
	f.SetState(State{Phase: Running, QEMU: p})
	f.Release()
	listed(t)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("QEMU is still there")
	}
}

// A VM in the foreground belongs to its terminal: nothing of it stays.
func TestForeground(t *testing.T) {
	runFolder(t)
	f := create(t, Description{Name: "web", Foreground: true})
	if got := listed(t); got != "web:running" {
		t.Errorf("there is %s; want web:running", got)
	}
	f.Release()
	if got := listed(t); got != "" {
		t.Errorf("there is %s; want nothing", got)
	}
	if _, err := os.Stat(f.Path); err == nil {
		t.Error("its folder is still there")
	}
}

// What was left by processes that were killed while they made or removed a folder goes away.
func TestSweep(t *testing.T) {
	runFolder(t)
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{".new-1", ".rm-2-web"} {
		dir := filepath.Join(root, name)
		os.Mkdir(dir, 0o700)
		os.WriteFile(filepath.Join(dir, lockFile), nil, 0o600)
		os.Chtimes(dir, old, old)
	}
	os.Mkdir(filepath.Join(root, ".new-young"), 0o700)
	if got := listed(t); got != "" {
		t.Errorf("there is %s; want nothing", got)
	}
	if left, _ := os.ReadDir(root); len(left) != 1 {
		t.Errorf("left behind: %v; want the young one", left)
	}
}
