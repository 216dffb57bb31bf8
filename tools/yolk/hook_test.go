package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/tools/internal/target"
	"github.com/yolk-unikernel/yolk/tools/internal/tinyguest"
)

// runHook starts the command under the hook's name in dir.
func runHook(t *testing.T, dir string, env []string, args ...string) result {
	t.Helper()
	cmd := yolkCommand(t, args...)
	cmd.Args[0] = "/toolchain/bin/" + hookName
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, env...)
	return finish(t, cmd)
}

func TestHook(t *testing.T) {
	fakeQEMU(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var code tinyguest.Code
	app := guest(t, &code)
	got := runHook(t, dir, []string{"YOLK_MEM=64M", "YOLK_RUN_FLAGS=-machine q35 -e 'A=b c'", "FOO=bar", "SECRET=x", "YOLK_ENV=FOO"}, app, "-test.v")
	if got.status != 0 || got.err != "" {
		t.Fatalf("got %+v", got)
	}
	line := after(got.out, "-words")
	for _, want := range []string{"arg0=" + app + " arg=-test.v", "cwd=" + dir, "env.FOO=bar", `env.A="b c"`} {
		if !strings.Contains(line, want) {
			t.Errorf("command line %q lacks %q", line, want)
		}
	}
	if strings.Contains(line, "env.PATH") || strings.Contains(line, "env.SECRET") || strings.Contains(line, "env.HOME") {
		t.Errorf("command line %q has variables of the host", line)
	}
	if m := after(got.out, "-m"); m != "64M" || !strings.HasPrefix(got.out, "-M\nq35\n") {
		t.Errorf("RAM %s, machine %.10q; want 64M and q35", m, got.out)
	}
	if want := "mount=folder0:" + dir; !strings.Contains(line, want) || !strings.Contains(after(got.out, "-fsdev"), "path="+dir+",") {
		t.Errorf("command line %q: the working directory is not passed on", got.out)
	}
}

func TestHookMistakes(t *testing.T) {
	fakeQEMU(t)
	self, _ := os.Executable()
	var code tinyguest.Code
	app := guest(t, &code)
	for _, tt := range []struct {
		env, arg, want string
	}{
		{"YOLK_MEM=1M", app, "YOLK_MEM: -m 1M: RAM too small"},
		{"YOLK_RUN_FLAGS=-bogus", app, "YOLK_RUN_FLAGS: unknown flag -bogus"},
		{"YOLK_RUN_FLAGS='", app, "a quote is not closed"},
		{"YOLK_RUN_FLAGS=x", app, "is not a flag"},
		{"A=b", self, "built for linux/amd64"},
	} {
		got := runHook(t, t.TempDir(), []string{tt.env}, tt.arg)
		if got.status == 0 || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s: %+v; want %q", tt.env, got, tt.want)
		}
	}
}

func TestHookEnv(t *testing.T) {
	env := []string{"A=b", "PATH=/bin", "GOGC=50", "GOCACHE=/c", "BASH_FUNC_x%%=()", "GODEBUG=x=1", "TZ=UTC", "AWS_SECRET_ACCESS_KEY=k", "LC_TIME=C", "APP_X=1", "AP=2"}
	if got, want := hookEnv(env), []string{"GOGC=50", "GODEBUG=x=1", "TZ=UTC", "LC_TIME=C"}; !slices.Equal(got, want) {
		t.Errorf("hookEnv = %q; want %q", got, want)
	}
	env = append(env, "YOLK_ENV=A, APP_* PATH")
	if got, want := hookEnv(env), []string{"A=b", "PATH=/bin", "GOGC=50", "GODEBUG=x=1", "TZ=UTC", "LC_TIME=C", "APP_X=1"}; !slices.Equal(got, want) {
		t.Errorf("hookEnv with YOLK_ENV = %q; want %q", got, want)
	}
}

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                 nil,
		"  a  b ":          {"a", "b"},
		`'a b' "c'd" e\ f`: {"a b", "c'd", "e f"},
		`x'y'"z" ''`:       {"xyz", ""},
		shellQuote("it's"): {"it's"},
	} {
		if got, err := splitWords(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// A shell can read what yolk env prints.
func TestEnvInAShell(t *testing.T) {
	var out bytes.Buffer
	printEnv(&out, &target.Builder{GOROOT: "/tool chain", GOCACHE: "/c'd"}, "/usr/bin:/bin", false)
	cmd := exec.Command("/bin/sh", "-c", out.String()+`echo "$PATH|$GOTOOLCHAIN|$GOCACHE|${GOROOT-unset}"`)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "GOROOT=/x"}
	got, err := cmd.Output()
	if want := "/tool chain/bin:/usr/bin:/bin|local|/c'd|unset\n"; err != nil || string(got) != want {
		t.Errorf("shell has %q, %v; want %q", got, err, want)
	}
	out.Reset()
	printEnv(&out, &target.Builder{GOROOT: "/t", GOCACHE: "/c"}, "/t/bin:/bin", false)
	if strings.Contains(out.String(), "PATH") {
		t.Errorf("a second eval prints %q; want PATH left alone", out.String())
	}
}
