package test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// What a program is told is known to it, and to no other user of the host: not by /proc, and not
// by a file.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const mark = "hush-3f1c"
	dir, tmp := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(mark+"-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, hold := io.Pipe()
	m := vm.Start(t, vm.Options{
		Flags:  []string{"-e", "TOKEN=" + mark + "-env", "-secret", "key=" + file, "-secret=VALUE", "-hostname", mark},
		Target: "./test/testdata/secrets", Args: []string{"-password", mark + "-argument"},
		Env: []string{"VALUE=" + mark + "-value", "TMPDIR=" + tmp, "XDG_RUNTIME_DIR=" + t.TempDir()}, Stdin: in,
	})
	m.WaitFor("waiting")
	for _, want := range []string{
		`args ["-password" "` + mark + `-argument"]`, `TOKEN "` + mark + `-env"`,
		`/run/secrets/key -r-------- "` + mark + `-file\n"`, `/run/secrets/VALUE -r-------- "` + mark + `-value"`,
		"folder drwx------",
	} {
		if !strings.Contains(m.Stdout(), want) {
			t.Errorf("the program lacks %q:\n%s", want, m.Stdout())
		}
	}
	if _, line, _ := strings.Cut(m.Stdout(), "command line "); strings.Contains(line, mark) {
		t.Errorf("the guest's /proc/cmdline has it: %s", line)
	}
	for _, pid := range append(m.VMM(), m.PID()) {
		line, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil || len(line) == 0 {
			t.Fatalf("the command line of process %s: %q, %v", pid, line, err)
		}
		if bytes.Contains(line, []byte(mark)) {
			t.Errorf("all users see it in process %s: %q", pid, line)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files in the folder for temporary ones: %v, %v", left, err)
	}
	searchAsOthers(t, mark)
	hold.Close()
	if status := m.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// searchAsOthers looks through /proc as two other users, one of whom may be QEMU's.
func searchAsOthers(t *testing.T, mark string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, uid := range []uint32{65534, 12345} {
		cmd := exec.Command("sh", "-c", `read mark; for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do
			{ tr '\0' '\n' <$f; } 2>/dev/null | while IFS= read -r line; do case $line in *$mark*) echo $f; esac; done; done; echo searched`)
		cmd.Stdin = strings.NewReader(mark + "\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.Output()
		if err != nil || string(out) != "searched\n" {
			t.Errorf("user %d finds it in %q, %v", uid, out, err)
		}
	}
}

// Settings of any length that is accepted arrive whole; what is too long is refused, by yolk and by
// the guest.
func TestLongSettings(t *testing.T) {
	t.Parallel()
	program := "./test/testdata/secrets"
	file := filepath.Join(t.TempDir(), "env")
	long := strings.Repeat("x", 1<<20)
	if err := os.WriteFile(file, []byte("TOKEN="+long+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"2", []byte("MORE="+long+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := vm.Run(t, vm.Options{Flags: []string{"-env-file", file}, Target: program, Args: []string{"last"}})
	if got.Status != 0 || !strings.Contains(got.Stdout, `args ["last"]`) || !strings.Contains(got.Stdout, `TOKEN "`+long+`"`) {
		t.Errorf("exit status %d, %d bytes of output; want all of a variable of 1 MiB\n%s", got.Status, len(got.Stdout), got.Stderr)
	}
	for _, tt := range []struct {
		flags  []string
		status int
		want   string
	}{
		{[]string{"-env-file", file, "-m", "16M"}, 1, "16 MiB of RAM are enough for 512: choose more with -m"},
		{[]string{"-env-file", file, "-env-file", file + "2", "-m", "1G"}, 1, "more than 2048 KiB together"},
		{[]string{"-qemu-arg", "-append", "-qemu-arg", "x=" + long[:70_000]}, 125, "the kernel command line has more than 64 KiB"},
	} {
		got := vm.Run(t, vm.Options{Flags: tt.flags, Target: program})
		if got.Status != tt.status || !strings.Contains(got.Stdout+got.Stderr, tt.want) {
			t.Errorf("exit status %d, %.300s%.300s; want %d and %q", got.Status, got.Stdout, got.Stderr, tt.status, tt.want)
		}
	}
}
