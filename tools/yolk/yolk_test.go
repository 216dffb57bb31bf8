package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

// The test binary is also the command: tests run it as a user would.
func TestMain(m *testing.M) {
	if os.Getenv("YOLK_TEST_MAIN") != "" {
		os.Unsetenv("YOLK_TEST_MAIN")
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == superviseName {
		main()
	}
	os.Exit(m.Run())
}

// result is the outcome of one command.
type result struct {
	out, err string
	status   int
}

func yolkCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// The race detector would wait a second at the end of each process.
	cmd.Env = append(os.Environ(), "YOLK_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func yolk(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, yolkCommand(t, args...))
}

// guest writes an image of code.
func guest(t *testing.T, code *tinyguest.Code) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.elf")
	if err := os.WriteFile(path, tinyguest.Image(code), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := qemu.Find(); err != nil {
		t.Skip(err)
	}
}

// fakeQEMU replaces QEMU by a script that prints its arguments and then, as if it were one, the words
// of the configuration in the initial module, one per line, and ends like a guest that exits with 0.
func fakeQEMU(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" -words\n" +
		"tr '\\000' '\\n' </dev/fd/4 | sed -n '/yolk 1$/{n;s/070701[0-9a-f]*//;s/TRAILER!!!//;p;q}'\necho exit 0 >&3\n"
	if err := os.WriteFile(filepath.Join(dir, qemu.Binary), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// after returns the line that follows option.
func after(out, option string) string {
	_, rest, _ := strings.Cut(out, "\n"+option+"\n")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

func TestRunPassesStatusAndConsole(t *testing.T) {
	needQEMU(t)
	var code tinyguest.Code
	got := yolk(t, "run", "-accel", "tcg", guest(t, code.Print("hi\n").Exit(42)))
	if want := (result{"hi\n", "", 42}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestRunWithoutStatus(t *testing.T) {
	needQEMU(t)
	var code tinyguest.Code
	got := yolk(t, "run", "-accel", "tcg", guest(t, code.Crash()))
	if got.status != exitNoVM || !strings.Contains(got.err, "ended without an exit status") {
		t.Errorf("got %+v; want status 125 and the reason", got)
	}
}

func TestBootLine(t *testing.T) {
	fakeQEMU(t)
	t.Setenv("PASSED", "on")
	dir := t.TempDir()
	envFile := filepath.Join(dir, "env")
	os.WriteFile(envFile, []byte("# comment\n\nFROM_FILE=a b\nTWICE=1\n"), 0o644)
	var code tinyguest.Code
	app := guest(t, &code)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{app}, "arg0=app"},
		{[]string{app, "-x", "a b", ""}, `arg0=app arg=-x arg="a b" arg=""`},
		{[]string{app, "--", "-n"}, "arg0=app arg=-n"},
		{[]string{"--", app, "--", "--"}, "arg0=app arg=--"},
		{[]string{"-e", "A=1", "-e", "PASSED", "-env-file", envFile, "-e", "TWICE=2", app},
			`arg0=app env.A=1 env.PASSED=on env.FROM_FILE="a b" env.TWICE=2`},
		{[]string{"-w", "/srv", "-hostname", "web-1", "-ip", "10.0.2.9/24,gw=10.0.2.2", app},
			"arg0=app cwd=/srv hostname=web-1 ip=10.0.2.9::10.0.2.2:255.255.255.0:::off"},
		{[]string{"-name", "boot_line", app}, "arg0=app hostname=boot-line"},
		{[]string{"-name", "boot-line", "-hostname", "other", app}, "arg0=app hostname=other"},
	} {
		got := yolk(t, append([]string{"run", "-accel=tcg"}, tt.args...)...)
		if line := after(got.out, "-words"); line != tt.want+" "+qemu.VirtioConsole+" "+qemu.EscapedInput || got.status != 0 {
			t.Errorf("yolk run %q: words %q; want %q (%+v)", tt.args, line, tt.want, got.err)
		}
	}
}

func TestFilesReachTheGuest(t *testing.T) {
	fakeQEMU(t)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "x.txt"), []byte("hello"), 0o644)
	var code tinyguest.Code
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	got := yolk(t, "run", "-accel=tcg", "-files", dir+":/mnt", guest(t, &code))
	if after(got.out, "-initrd") != "/dev/fd/4" || got.status != 0 {
		t.Errorf("got %+v; want an initrd", got)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPrintRunsNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no QEMU either
	var code tinyguest.Code
	app := guest(t, &code)
	got := yolk(t, "run", "-n", "-p", "8080:80", "-accel=tcg", app, "it's")
	if got.status != 0 || got.err != "" {
		t.Fatalf("got %+v", got)
	}
	for _, want := range []string{"qemu-system-x86_64 -M microvm", " -kernel " + app, `-append 'arg0=app arg=it'\''s'`, "hostfwd=tcp:127.0.0.1:8080-:80"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("-n printed %q; want %q in it", got.out, want)
		}
	}
}

func TestFreePortIsPrinted(t *testing.T) {
	fakeQEMU(t)
	var code tinyguest.Code
	got := yolk(t, "run", "-accel=tcg", "-p", ":8080", guest(t, &code))
	var port int
	if _, err := fmt.Sscanf(got.err, "yolk: tcp port 8080 of the guest is 127.0.0.1:%d", &port); err != nil {
		t.Fatalf("standard error %q; want the port", got.err)
	}
	if !strings.Contains(after(got.out, "-netdev"), fmt.Sprintf("hostfwd=tcp:127.0.0.1:%d-:8080", port)) {
		t.Errorf("QEMU forwards %q; want port %d", after(got.out, "-netdev"), port)
	}
}

func TestBusyPort(t *testing.T) {
	needQEMU(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var code tinyguest.Code
	got := yolk(t, "run", "-accel=tcg", "-p", fmt.Sprintf("%d:80", port), guest(t, code.Exit(0)))
	want := fmt.Sprintf("yolk: port %d is in use; choose another with -p", port)
	if got.status != exitNoVM || !strings.HasPrefix(got.err, want) || strings.Count(got.err, "\n") != 1 {
		t.Errorf("got %+v; want %q alone", got, want)
	}
}

// Each mistake gets one line with advice, and a status that is not 0.
func TestMistakes(t *testing.T) {
	self, _ := os.Executable()
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, []byte("hello"), 0o644)
	var code tinyguest.Code
	app := guest(t, &code)
	fakeQEMU(t)
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"fly", 2, `unknown command "fly"`},
		{"run", 2, "yolk run ./app"},
		{"run -foo " + app, 2, "unknown flag -foo; yolk run -h"},
		{"run -p", 2, "-p needs a value"},
		{"run -p 80 " + app, 2, "want HOST:GUEST"},
		{"run -p 80:80 -p 80:81 " + app, 2, "twice"},
		{"run -net none -p 80:80 " + app, 2, "-p needs -net user"},
		{"run -m 8M " + app, 2, "RAM too small for an image; use -m 16M or more"},
		{"run -m lots " + app, 2, "such as 256M"},
		{"run -m 99999999G " + app, 2, "the limit is"},
		{"run -smp 0 " + app, 2, "number of CPUs"},
		{"run -machine toaster " + app, 2, "microvm, q35, pc"},
		{"run -accel fast " + app, 2, "auto, kvm, tcg"},
		{"run -net wifi " + app, 2, "tap:INTERFACE, udp:PORT:PORT or none"},
		{"run -net none -net user " + app, 2, "-net none is for a VM without a network card"},
		{"run -net tap:a -net user -net tap:a " + app, 2, "-net tap:a is given twice"},
		{"run -net tap:a -net udp:1:2 -p 80:80 " + app, 2, "-p needs -net user"},
		{"run -ip 10.0.0.300/24 " + app, 2, "ADDR/PREFIX"},
		{"run -e =x " + app, 2, "NAME=VALUE"},
		{"run -e YOLK_NOT_SET " + app, 2, "not set here"},
		{"run -env-file /none " + app, 2, "no such file"},
		{"run -files /none " + app, 2, "no such file"},
		{"run -w rel " + app, 2, "absolute path"},
		{"run -hostname _x " + app, 2, "letters"},
		{"run -gdb here " + app, 2, "ADDR:PORT"},
		{"run -v /none:/srv " + app, 2, "no such file"},
		{"run -v " + app + ":/srv " + app, 2, "is not a folder; -files " + app + ":/srv gives the program a copy of a file"},
		{"run -v /tmp " + app, 2, "want DIR:/path or DIR:/path:ro"},
		{"run -v /tmp:srv " + app, 2, "absolute path in the guest, as in /tmp:/srv"},
		{"run -v /tmp:/srv:rw " + app, 2, `"rw" is no option; there are ro and mapped`},
		{"run -v /tmp:/ " + app, 2, "cannot be the guest's root"},
		{"run -v /tmp:/a -v .:/b/../a:ro " + app, 2, "/a of the guest is given twice"},
		{"run -disk d.img " + app, 2, "there is no file d.img; make one with yolk disk create -size 1G d.img"},
		{"run -disk /tmp:/data " + app, 2, "/tmp is a folder; mount it with -v /tmp:/data, or make a disk of it with yolk disk create -from /tmp"},
		{"run -disk " + app + ":data " + app, 2, "absolute path in the guest, as in " + app + ":/data"},
		{"run -disk " + app + ":/data:rw " + app, 2, `"rw" is no option; there is only ro`},
		{"run -disk " + app + ":/a -disk " + app + ":/b/../a:ro " + app, 2, "/a of the guest is given twice"},
		{"run -disk " + app + ":/ -files " + app + " " + app, 2, "hides what -files brings"},
		{"run -disk " + app + ":/data " + app, 1, "is built without disks; build it with yolk build -disk, or with go build -tags yolkdisk"},
		{"run -accel tcg -net tap:yolk-none " + app, 1, "ip tuntap add dev yolk-none mode tap"},
		{"run -accel tcg -net tap:lo " + app, 1, "-net tap:lo: that is no tap interface"},
		{"run ./none", 1, "no such file or directory"},
		{"run none.elf", 1, "no such file or directory"},
		{"run " + text, 1, "not an ELF file; build it with yolk build"},
		{"run " + self, 1, "built for linux/amd64; build it with yolk build"},
		{"build", 2, "yolk build ./app"},
		{"build -o", 2, "needs a file name"},
		{"build -what .", 2, "unknown flag -what"},
		{"toolchain burn", 2, "path or clean"},
		{"env -xml", 2, "unknown argument"},
		{"doctor a b", 2, "at most one"},
		{"version 2", 2, "no arguments"},
		{"help flying", 2, "no help for"},
	} {
		got := yolk(t, strings.Fields(tt.args)...)
		if got.status != tt.status || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 || got.out != "" {
			t.Errorf("yolk %s: %+v; want status %d and one line with %q", tt.args, got, tt.status, tt.want)
		}
	}
}

// That a VM is emulated is said once a day, and not at all with -q; KVM is refused where it would hang.
func TestNoKVM(t *testing.T) {
	needQEMU(t)
	if usable, _ := qemu.UsableKVM(); usable {
		t.Skip("KVM is usable here")
	}
	t.Setenv("YOLK_CACHE", t.TempDir())
	var code tinyguest.Code
	app := guest(t, code.Exit(0))
	told := func(args ...string) bool {
		t.Helper()
		got := yolk(t, append(append([]string{"run", "-net", "none"}, args...), app)...)
		if got.status != 0 {
			t.Errorf("yolk run %q: %+v", args, got)
		}
		return strings.Contains(got.err, "yolk: no KVM (")
	}
	if told("-q") || !told() || told() {
		t.Error("the VM's emulation was told with -q, not without, or twice")
	}
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(os.Getenv("YOLK_CACHE"), "said-no-kvm"), old, old); err != nil {
		t.Fatal(err)
	}
	if !told() {
		t.Error("nothing was told the day after")
	}
	got := yolk(t, "run", "-accel", "kvm", app)
	if got.status != 1 || !strings.Contains(got.err, "-accel kvm: ") || !strings.Contains(got.err, "-accel tcg emulates") {
		t.Errorf("-accel kvm: %+v; want it refused with advice", got)
	}
}

// The findings as JSON are those of the text.
func TestDoctorJSON(t *testing.T) {
	text, asJSON := yolk(t, "doctor"), yolk(t, "doctor", "-json")
	var findings []finding
	if err := json.Unmarshal([]byte(asJSON.out), &findings); err != nil || asJSON.status != text.status {
		t.Fatalf("doctor -json: %v, status %d; want %d", err, asJSON.status, text.status)
	}
	lines := strings.Split(strings.TrimSpace(text.out), "\n")
	if len(findings) != len(lines) {
		t.Fatalf("%d findings, %d lines", len(findings), len(lines))
	}
	for i, f := range findings {
		if level, what, _ := strings.Cut(lines[i], " "); level != f.Level || !strings.Contains(lines[i], f.What) && !strings.Contains(what, "free there") {
			t.Errorf("finding %+v; the text has %q", f, lines[i])
		}
	}
}

// A cache folder that cannot be used is named, with the way out.
func TestCacheAdvice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("YOLK_CACHE", filepath.Join(file, "cache"))
	got := yolk(t, "build", "-o", filepath.Join(t.TempDir(), "x.elf"), "../../examples/hello")
	if got.status != 1 || !strings.Contains(got.err, file+"/cache; set YOLK_CACHE to a folder that can be used") {
		t.Errorf("%+v; want advice", got)
	}
	if got := yolk(t, "run", file); strings.Contains(got.err, "YOLK_CACHE") {
		t.Errorf("%+v; want no word of the cache about another file", got)
	}
}

func TestNoQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var code tinyguest.Code
	got := yolk(t, "run", guest(t, &code))
	if got.status != 1 || !strings.Contains(got.err, "qemu-system-x86_64 is not installed: ") {
		t.Errorf("got %+v; want the package to install", got)
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, c := range commands {
		for _, args := range [][]string{{c.name, "-h"}, {c.name, "--help"}, {"help", c.name}} {
			got := yolk(t, args...)
			if got.status != 0 || got.err != "" || !strings.HasPrefix(got.out, "Usage: yolk "+c.name) {
				t.Errorf("yolk %q: %+v", args, got)
			}
		}
		if !strings.Contains(c.help, "Example") && c.name != "version" {
			t.Errorf("yolk %s -h has no example", c.name)
		}
	}
	if got := yolk(t, "-h"); got.status != 0 || !strings.Contains(got.out, "yolk run") {
		t.Errorf("yolk -h: %+v", got)
	}
	if got := yolk(t, "run", "-p", "80:80", "-h"); got.status != 0 || got.out != runHelp {
		t.Errorf("yolk run ... -h: %+v", got)
	}
}

// start runs yolk on a guest that prints "up" and waits for input.
func start(t *testing.T, code *tinyguest.Code) (*exec.Cmd, *bytes.Buffer, *os.File) {
	t.Helper()
	needQEMU(t)
	cmd := yolkCommand(t, "run", "-accel=tcg", guest(t, code))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout = in, outW
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); in.Close(); inW.Close(); out.Close(); outW.Close() })
	b := make([]byte, 2)
	if _, err := out.Read(b); err != nil {
		t.Fatal(err)
	}
	return cmd, &errs, out
}

func TestInterruptAsksTheGuest(t *testing.T) {
	var code tinyguest.Code
	cmd, errs, _ := start(t, code.Print("up").Echo().Echo().Exit(7))
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 7 || !strings.Contains(errs.String(), "stopping (again to kill)") {
		t.Errorf("status %d, said %q; want the guest's 7", s, errs)
	}
}

func TestSecondInterruptKills(t *testing.T) {
	var code tinyguest.Code
	cmd, errs, _ := start(t, code.Print("up").Echo().Echo().Echo().Exit(7))
	kids := children(t, cmd.Process.Pid)
	if len(kids) == 0 {
		t.Fatal("no QEMU below yolk")
	}
	cmd.Process.Signal(os.Interrupt)
	time.Sleep(200 * time.Millisecond) // one signal at a time, as from a keyboard
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 130 {
		t.Errorf("status %d, said %q; want 130", s, errs)
	}
	gone(t, kids)
}

// If yolk is killed, even with SIGKILL, no QEMU is left running.
func TestKilledYolkLeavesNothing(t *testing.T) {
	var code tinyguest.Code
	cmd, _, _ := start(t, code.Print("up").Echo())
	kids := children(t, cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, kids)
}

// children lists the processes that yolk's threads have started, proc(5).
func children(t *testing.T, pid int) []int {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var kids []int
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			var k int
			fmt.Sscan(s, &k)
			kids = append(kids, k)
		}
	}
	return kids
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}
