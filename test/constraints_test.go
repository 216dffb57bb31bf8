package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const (
	takenAlways = "a_linux.go a_linux_amd64.go"
	takenPlain  = takenAlways + " both.go linux.go not_t.go unix.go yolk.go"
	takenTagged = takenAlways + " a_tamago.go a_tamago_amd64.go linux.go tamago.go unix.go yolk.go"
)

// The constraints linux, unix and yolk are true in a module, and tamago only if -tags says so: for go
// list, with and without the index of modules, for what go run builds, and for the imports
// that the go command looks up.
func TestConstraints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(vm.Root(t), "test/testdata/constraints"))); err != nil {
		t.Fatal(err)
	}
	const list = " GOOS=tamago go list -f '{{join .GoFiles \" \"}}' ."
	for _, c := range []struct{ env, want string }{{"", takenPlain}, {"GOFLAGS=-tags=tamago", takenTagged}} {
		for _, index := range []string{"GODEBUG=", "GODEBUG=goindex=0"} {
			out, status := shell(t, dir, c.env+" "+index+list)
			if got := strings.Replace(strings.TrimSpace(out), "main.go ", "", 1); status != 0 || got != c.want {
				t.Errorf("%s %s go list: status %d, %q; want %q", c.env, index, status, got, c.want)
			}
		}
		out, status := shell(t, dir, c.env+" GOOS=tamago go run .")
		if want := "linux [" + c.want + "] 1\n"; status != 0 || !strings.Contains(out, want) {
			t.Errorf("%s go run: status %d, %q; want %q", c.env, status, out, want)
		}
		out, status = shell(t, dir, c.env+" GOOS=tamago go vet ./scan")
		if missed := strings.Contains(out, "example.test/missing"); missed != (c.env != "") || missed == (status == 0) {
			t.Errorf("%s go vet ./scan: status %d, %q", c.env, status, out)
		}
	}
}

// Another module's package has the same files where it is and as a copy in vendor.
func TestConstraintsInVendor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(vm.Root(t), "test/testdata/constraints"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "scan/scan_tamago.go")); err != nil { // go mod vendor wants what any system wants
		t.Fatal(err)
	}
	const list = `GOOS=tamago go list -f '{{.Dir}} {{.GoFiles}}' example.test/dep; `
	out, status := shell(t, dir, list+"go mod vendor && "+list+"GOFLAGS=-tags=tamago "+list)
	want := dir + "/dep [dep_linux.go]\n" + dir + "/vendor/example.test/dep [dep_linux.go]\n" +
		dir + "/vendor/example.test/dep [dep_linux.go dep_tamago.go]\n"
	if status != 0 || out != want {
		t.Errorf("status %d, %s; want %s", status, out, want)
	}
}

// In the Go distribution, where the port's own files are, tamago is true beside the others.
func TestConstraintsInGoroot(t *testing.T) {
	t.Parallel()
	out, status := shell(t, t.TempDir(), `cd "$(go env GOROOT)/src/time" &&
		GOOS=tamago go list -f '{{join .GoFiles "\n"}}' . && GOOS=tamago go list -f '{{join .GoFiles "\n"}}' time`)
	for _, name := range []string{"tamago.go", "sys_unix.go", "zoneinfo_unix.go"} {
		if status != 0 || strings.Count("\n"+out, "\n"+name+"\n") != 2 {
			t.Errorf("package time: status %d, %s; want %s twice", status, out, name)
		}
	}
	if strings.Contains(out, "notamago.go") {
		t.Errorf("package time: %s; tamago is not true", out)
	}
}
