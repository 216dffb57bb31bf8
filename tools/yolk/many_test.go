package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// background gives the test a run folder of its own, and ends its VMs after it.
func background(t *testing.T) {
	t.Helper()
	needQEMU(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Cleanup(func() {
		list, err := vmdir.List()
		if err != nil {
			t.Error(err)
		}
		for _, vm := range list {
			yolk(t, "rm", "-f", vm.Name)
		}
	})
}

// detach starts a guest in the background and returns its name.
func detach(t *testing.T, code *tinyguest.Code, flags ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "-accel=tcg", "-m", "16M", "-net", "none"}, flags...)
	got := yolk(t, append(args, guest(t, code))...)
	if got.status != 0 || got.err != "" {
		t.Fatalf("yolk run -d: %+v", got)
	}
	return strings.TrimSuffix(got.out, "\n")
}

func find(t *testing.T, name string) *vmdir.VM {
	t.Helper()
	vm, err := vmdir.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// await waits until a VM is as wanted.
func await(t *testing.T, name, what string, is func(*vmdir.VM) bool) *vmdir.VM {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		vm := find(t, name)
		if is(vm) {
			return vm
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %+v; want %s", name, vm.State, what)
		}
	}
}

func phase(name string) func(*vmdir.VM) bool {
	return func(vm *vmdir.VM) bool { return vm.Phase == name }
}

// echo is a guest that says up, and echoes for ever: it cannot be asked to end.
func echo() *tinyguest.Code {
	var code tinyguest.Code
	return code.Print("up\n").EchoAll()
}

// A VM in the background: its name, its place in the list, its log, its end by kill and by status,
// and that its name is free after rm.
func TestDetached(t *testing.T) {
	background(t)
	name := detach(t, echo(), "-name", "web")
	if name != "web" {
		t.Errorf("name %q; want web", name)
	}
	if got := yolk(t, "ps"); !strings.Contains(got.out, "web") || !strings.Contains(got.out, "running") || !strings.Contains(got.out, "16M") {
		t.Errorf("yolk ps: %+v", got)
	}
	if got := yolk(t, "dump"); !strings.Contains(got.out, "web") {
		t.Errorf("yolk dump: %+v; want the VM in its list", got)
	}
	if got := yolk(t, "run", "-d", "-accel=tcg", "-name", "web", guest(t, echo())); got.status != 1 || !strings.Contains(got.err, "a VM web runs already") {
		t.Errorf("the same name: %+v", got)
	}
	if got := yolk(t, "rm", "web"); got.status != 1 || !strings.Contains(got.err, "yolk rm -f web") {
		t.Errorf("yolk rm of a VM that runs: %+v", got)
	}
	pid := find(t, "web").State.QEMU.PID
	if got := yolk(t, "kill", "web"); got.status != 0 || got.out != "web\n" {
		t.Errorf("yolk kill: %+v", got)
	}
	gone(t, []int{pid})
	if got := yolk(t, "wait", "web"); got.status != 137 || !strings.Contains(got.err, "killed on request") {
		t.Errorf("yolk wait: %+v; want 137 and the reason", got)
	}
	if got := yolk(t, "logs", "web"); !strings.HasPrefix(got.out, "up\n") || got.status != 0 {
		t.Errorf("yolk logs: %+v", got)
	}
	if got := yolk(t, "ps"); strings.Contains(got.out, "web") {
		t.Errorf("yolk ps: %+v; want only what runs", got)
	}
	if got := yolk(t, "ps", "-a"); !strings.Contains(got.out, "ended (killed on request, 137)") {
		t.Errorf("yolk ps -a: %+v", got)
	}
	if got := yolk(t, "rm", "web"); got.status != 0 {
		t.Errorf("yolk rm: %+v", got)
	}
	if got := yolk(t, "logs", "web"); got.status != 1 || !strings.Contains(got.err, "there is no VM web; yolk ps -a lists them") {
		t.Errorf("yolk logs after rm: %+v", got)
	}
}

// The status and the reason of each kind of end.
func TestEnds(t *testing.T) {
	background(t)
	for _, tt := range []struct {
		end    func(*tinyguest.Code) *tinyguest.Code
		status int
		kind   string
	}{
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Exit(0) }, 0, vmdir.Exit},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Exit(42) }, 42, vmdir.Exit},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Exit(130) }, 130, vmdir.Signal},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Exit(125) }, 125, vmdir.Fault},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Crash() }, 125, vmdir.Fault},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Print("\nyolk: out of memory: all\n").Exit(137) }, 137, vmdir.OutOfMemory},
		{func(c *tinyguest.Code) *tinyguest.Code { return c.Exit(137) }, 137, vmdir.Signal},
	} {
		var code tinyguest.Code
		name := detach(t, tt.end(code.Print("up\n")))
		if got := yolk(t, "wait", name); got.status != tt.status {
			t.Errorf("yolk wait: %+v; want status %d", got, tt.status)
		}
		if vm := find(t, name); vm.End.Kind != tt.kind || vm.End.At.IsZero() {
			t.Errorf("status %d: end %+v; want %s", tt.status, vm.End, tt.kind)
		}
	}
	name := detach(t, echo())
	syscall.Kill(find(t, name).State.QEMU.PID, syscall.SIGKILL)
	if got := yolk(t, "wait", name); got.status != exitNoVM || !strings.Contains(got.err, "QEMU was ended by a signal from outside") {
		t.Errorf("QEMU killed: %+v", got)
	}
}

// yolk run -d itself reports what keeps a VM from starting, with the status, and nothing stays.
func TestDetachedFails(t *testing.T) {
	background(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var code tinyguest.Code
	app := guest(t, code.Exit(0))
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-p", fmt.Sprintf("%d:80", port), app}, exitNoVM, "is in use; choose another with -p"},
		{[]string{"-qemu-arg", "-nonsense", app}, exitNoVM, "invalid option"},
		{[]string{"./none"}, exitFailure, "no such file or directory"},
		{[]string{"-restart", "sometimes", app}, exitUsage, "want no, on-failure"},
		{[]string{"-health", "tcp:80", app}, exitUsage, "port 80 of the guest is not forwarded; add -p :80"},
		{[]string{"-stop-timeout", "0", app}, exitUsage, "a number of seconds"},
		{[]string{"-name", "a/b", app}, exitUsage, "want letters, digits"},
		{[]string{"-health-retries", "2", app}, exitUsage, "need -health"},
		{[]string{"-n", app}, exitUsage, "leave one out"},
	} {
		got := yolk(t, append([]string{"run", "-d", "-accel=tcg", "-restart=always"}, tt.args...)...)
		if got.status != tt.status || got.out != "" || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("yolk run -d %q: %+v; want status %d and one line with %q", tt.args, got, tt.status, tt.want)
		}
	}
	if got := yolk(t, "ps", "-a"); strings.Count(got.out, "\n") != 1 {
		t.Errorf("left behind: %+v", got)
	}
	if got := yolk(t, "run", "-restart=always", app); got.status != exitUsage || !strings.Contains(got.err, "add -d") {
		t.Errorf("-restart in the foreground: %+v", got)
	}
}

// A request to end is passed on, and its grace is announced and kept.
func TestStop(t *testing.T) {
	background(t)
	var code tinyguest.Code
	name := detach(t, code.Print("up\n").Echo().Echo().Exit(7)) // DLE t are two bytes
	if got := yolk(t, "stop", name); got.status != 0 || !strings.Contains(got.err, "has 10s to end, then it is killed") {
		t.Errorf("yolk stop: %+v", got)
	}
	if vm := find(t, name); vm.End == nil || vm.End.Status != 7 {
		t.Errorf("end %+v; want the guest's 7", vm.End)
	}
	name = detach(t, echo(), "-stop-timeout", "1", "-restart", "always")
	began := time.Now()
	got := yolk(t, "stop", name)
	if d := time.Since(began); d < time.Second || d > 8*time.Second || got.status != 0 || !strings.Contains(got.err, "had not ended within 1s") {
		t.Errorf("yolk stop after %v: %+v; want that it was killed after a second", d, got)
	}
	if vm := find(t, name); vm.Phase != vmdir.Ended || vm.End.Kind != vmdir.AfterGrace {
		t.Errorf("state %+v; want an end that -restart does not undo", vm.State)
	}
	if got := yolk(t, "stop", name); got.status != 1 || !strings.Contains(got.err, "does not run: killed") {
		t.Errorf("a second yolk stop: %+v", got)
	}
}

func TestRestartPolicy(t *testing.T) {
	background(t)
	var code tinyguest.Code
	name := detach(t, code.Print("up\n").Exit(3), "-restart", "on-failure:2")
	if got := yolk(t, "wait", name); got.status != 3 {
		t.Errorf("yolk wait: %+v", got)
	}
	got := yolk(t, "logs", name)
	if strings.Count(got.out, "up\n") != 3 || !strings.Contains(got.out, "starting again in 100ms") || !strings.Contains(got.out, "starting again in 200ms") {
		t.Errorf("log %q; want three starts", got.out)
	}
	if vm := find(t, name); vm.Restarts != 2 || vm.Phase != vmdir.Ended {
		t.Errorf("state %+v", vm.State)
	}
}

// yolk restart works on a VM that runs, on one that has ended and on one that is lost, and keeps its port.
func TestRestartCommand(t *testing.T) {
	background(t)
	got := yolk(t, "run", "-d", "-accel=tcg", "-m", "16M", "-p", ":80", "-stop-timeout", "1", "-name", "web", guest(t, echo()))
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	ports := find(t, "web").Ports
	for _, before := range []string{"running", "ended", "lost"} {
		old := find(t, "web").State.QEMU.PID
		switch before {
		case "ended":
			yolk(t, "kill", "web")
		case "lost":
			syscall.Kill(find(t, "web").Holder.PID, syscall.SIGKILL)
			await(t, "web", "that it is lost", phase(vmdir.Lost))
		}
		if got := yolk(t, "restart", "web"); got.status != 0 || got.out != "web\n" {
			t.Fatalf("yolk restart of a VM that is %s: %+v", before, got)
		}
		vm := find(t, "web")
		if vm.Phase != vmdir.Running || vm.State.QEMU.PID == old || len(vm.Ports) != 1 || vm.Ports[0] != ports[0] {
			t.Errorf("after %s: %+v, ports %v; want that it runs, with %v", before, vm.State, vm.Ports, ports)
		}
		gone(t, []int{old})
	}
	if got := yolk(t, "logs", "web"); strings.Count(got.out, "up\n") != 4 {
		t.Errorf("log %q; want four starts", got.out)
	}
}

// Follow a log to the VM's end, and send input to it.
func TestAttachAndFollow(t *testing.T) {
	background(t)
	var code tinyguest.Code
	name := detach(t, code.Print("up\n").Echo().Echo().Exit(5))
	follow := yolkCommand(t, "logs", "-f", name)
	var out bytes.Buffer
	follow.Stdout = &out
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	attach := yolkCommand(t, "attach", name)
	attach.Stdin = strings.NewReader("k\n")
	if got := finish(t, attach); got.status != 5 || !strings.HasPrefix(got.out, "k\n") {
		t.Errorf("yolk attach: %+v; want the echo, and the guest's 5", got)
	}
	if err := follow.Wait(); err != nil || !strings.HasPrefix(out.String(), "up\nk\n") {
		t.Errorf("yolk logs -f: %v, %q", err, out.String())
	}
	if got := yolk(t, "attach", name); got.status != 1 || !strings.Contains(got.err, "does not run") {
		t.Errorf("yolk attach after the end: %+v", got)
	}
	stamp := find(t, name).End.At.Add(time.Hour).Format(time.RFC3339)
	if got := yolk(t, "logs", "-since", stamp, name); got.out != "" || got.status != 0 {
		t.Errorf("yolk logs -since an hour after the end: %+v", got)
	}
	if got := yolk(t, "logs", "-t", "-since", "1h", name); !strings.Contains(got.out, "Z up\n") {
		t.Errorf("yolk logs -t: %+v", got)
	}
}

// On a terminal the end of the input detaches, and the VM goes on.
func TestDetachFromTerminal(t *testing.T) {
	background(t)
	name := detach(t, echo())
	master, slave := pty(t)
	cmd := yolkCommand(t, "attach", name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	master.WriteString("k\n")
	readUntil(t, master, "k\r\nk\r\n") // the terminal's own echo, and the guest's
	master.WriteString("\x04")
	readUntil(t, master, "which goes on")
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 0 || find(t, name).Phase != vmdir.Running {
		t.Errorf("%v, %s; want that the VM runs", cmd.ProcessState, find(t, name).Phase)
	}
}

// A VM in the foreground is in the list, can be asked to end, and leaves nothing.
func TestForegroundIsListed(t *testing.T) {
	background(t)
	var code tinyguest.Code
	cmd, _, _ := start(t, code.Print("up").Echo().Echo().Exit(7))
	await(t, "app", "that it runs", phase(vmdir.Running))
	if got := yolk(t, "ps"); !strings.Contains(got.out, "running in the foreground") {
		t.Errorf("yolk ps: %+v", got)
	}
	if got := yolk(t, "logs", "app"); got.status != 1 || !strings.Contains(got.err, "in the foreground") {
		t.Errorf("yolk logs: %+v", got)
	}
	if got := yolk(t, "restart", "app"); got.status != 1 || !strings.Contains(got.err, "in the foreground") {
		t.Errorf("yolk restart: %+v", got)
	}
	waiting := make(chan result, 1)
	go func() { waiting <- yolk(t, "wait", "app") }()
	time.Sleep(200 * time.Millisecond)
	if got := yolk(t, "stop", "app"); got.status != 0 {
		t.Errorf("yolk stop: %+v", got)
	}
	if got := <-waiting; got.status != 7 {
		t.Errorf("yolk wait: %+v; want 7", got)
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("yolk run: %v; want the guest's 7", cmd.ProcessState)
	}
	if got := yolk(t, "ps", "-a"); strings.Contains(got.out, "app") {
		t.Errorf("yolk ps -a: %+v", got)
	}
}

// The supervising process has nothing of the terminal and the descriptors of the command.
func TestSupervisorIsDetached(t *testing.T) {
	background(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := yolkCommand(t, "run", "-d", "-accel=tcg", "-m", "16M", "-e", "TOKEN=hunter2", guest(t, echo()))
	cmd.ExtraFiles = []*os.File{w, w, w, w}
	if got := finish(t, cmd); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	w.Close()
	ended := make(chan error, 1)
	go func() { _, err := r.Read(make([]byte, 1)); ended <- err }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a descriptor of the command is still open")
	}
	holder := find(t, "app").Holder.PID
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", holder))
	if f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):])); len(f) < 6 || f[4] != strconv.Itoa(holder) || f[5] != "0" {
		t.Errorf("stat %s; want a session of its own (%d), and no terminal", stat, holder)
	}
	for _, fd := range []string{"0", "1", "2"} {
		if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", holder, fd)); link != os.DevNull {
			t.Errorf("descriptor %s is %s", fd, link)
		}
	}
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", holder))
	got := yolk(t, "inspect", "app")
	if bytes.Contains(args, []byte("hunter2")) || strings.Contains(got.out, "hunter2") || !strings.Contains(got.out, "TOKEN") {
		t.Errorf("arguments %q, yolk inspect %s; want no secret", args, got.out)
	}
	var vm vmdir.VM
	if err := json.Unmarshal([]byte(got.out), &vm); err != nil || vm.Name != "app" || vm.Phase != vmdir.Running {
		t.Errorf("yolk inspect: %v, %+v", err, vm)
	}
}

func TestStats(t *testing.T) {
	background(t)
	name := detach(t, echo()) // which polls its serial port all the time
	var used []usageOf
	got := yolk(t, "stats", "-json", name)
	if err := json.Unmarshal([]byte(got.out), &used); err != nil || len(used) != 1 {
		t.Fatalf("yolk stats: %+v, %v", got, err)
	}
	if u := used[0]; u.Name != name || u.CPUPercent <= 0 || u.CPUSeconds <= 0 || u.RSS < 1<<20 || u.PSS > u.RSS || u.Memory != 16<<20 {
		t.Errorf("%+v; want a VM that computes", u)
	}
}

// health of a guest that nobody can connect to.
func TestUnhealthy(t *testing.T) {
	background(t)
	got := yolk(t, "run", "-d", "-accel=tcg", "-m", "16M", "-p", ":80", "-health", "http:80/", "-health-interval", "100ms",
		"-health-start", "0s", "-health-retries", "1", guest(t, echo()))
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	vm := await(t, "app", "that it is unhealthy", func(vm *vmdir.VM) bool { return vm.State.Health != "starting" })
	if vm.State.Health != "unhealthy" || vm.Probe == "" {
		t.Errorf("health %s (%s)", vm.State.Health, vm.Probe)
	}
	if got := yolk(t, "ps"); !strings.Contains(got.out, "unhealthy") {
		t.Errorf("yolk ps: %+v", got)
	}
}

// newestLog returns the path of the log's file with the highest number.
func newestLog(t *testing.T, dir string) (path string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "log.*"))
	most := 0
	for _, f := range files {
		if n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Ext(f), ".")); n > most {
			most, path = n, f
		}
	}
	return path
}

// Several VMs, whose supervisors and QEMUs are killed at random: each state is true, no QEMU is left,
// and each line that a log had is still there.
func TestKillsAtRandom(t *testing.T) {
	background(t)
	const n = 6
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	var code tinyguest.Code
	app := guest(t, code.PrintForever("0123456789\n"))
	type machine struct {
		*vmdir.VM
		how  string // what is killed
		file string // the newest of its log before that
		seen []byte // what it had
	}
	var all []machine
	for range n {
		got := yolk(t, "run", "-d", "-accel=tcg", "-m", "16M", "-net", "none", app)
		if got.status != 0 {
			t.Fatalf("%+v", got)
		}
		all = append(all, machine{VM: find(t, strings.TrimSpace(got.out)), how: []string{"supervisor", "qemu", "both", "nothing"}[r.IntN(4)]})
	}
	for _, i := range r.Perm(n) {
		m := &all[i]
		time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
		m.file = newestLog(t, m.Dir)
		m.seen, _ = os.ReadFile(m.file)
		if m.how == "supervisor" || m.how == "both" {
			syscall.Kill(m.Holder.PID, syscall.SIGKILL)
		}
		if m.how == "qemu" || m.how == "both" {
			syscall.Kill(m.State.QEMU.PID, syscall.SIGKILL)
		}
	}
	for _, m := range all {
		want := map[string]string{"supervisor": vmdir.Lost, "both": vmdir.Lost, "qemu": vmdir.Ended, "nothing": vmdir.Running}[m.how]
		vm := await(t, m.Name, "the state "+want, phase(want))
		if (vm.End == nil) != (want == vmdir.Running) || want == vmdir.Ended && vm.End.Kind != vmdir.VMMSignal {
			t.Errorf("%s killed: %+v", m.how, vm.End)
		}
		if want != vmdir.Running {
			gone(t, []int{m.State.QEMU.PID, m.Holder.PID})
		} else if !m.State.QEMU.Alive() {
			t.Errorf("nothing killed, and QEMU is gone")
		}
		log, err := os.ReadFile(m.file)
		if m.how == "nothing" && errors.Is(err, fs.ErrNotExist) { // rotated away since
			continue
		}
		if err != nil || len(m.seen) == 0 || !bytes.HasPrefix(log, m.seen) {
			t.Errorf("%s killed: the log had %d bytes, has %d (%v), and does not begin with them", m.how, len(m.seen), len(log), err)
		}
	}
	if got := yolk(t, "ps", "-a"); strings.Count(got.out, "\n") != n+1 {
		t.Errorf("yolk ps -a: %+v; want all %d", got, n)
	}
	orphans, _ := exec.Command("pgrep", "-f", app).Output()
	running := 0
	for _, m := range all {
		if m.how == "nothing" {
			running++
		}
	}
	if got := len(strings.Fields(string(orphans))); got != running {
		t.Errorf("%d QEMUs run; want %d", got, running)
	}
}
