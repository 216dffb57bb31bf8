package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	goversion "go/version"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

// A step is one column of the table.
type step struct {
	name  string
	limit time.Duration
	do    func(*trial, context.Context) error
}

var steps = []step{
	{"fetch", 10 * time.Minute, (*trial).fetch},
	{"toolchain", 20 * time.Minute, (*trial).toolchain},
	{"hello", 10 * time.Minute, (*trial).hello},
	{"status", 5 * time.Minute, (*trial).status},
	{"web", 15 * time.Minute, (*trial).web},
	{"test", 15 * time.Minute, (*trial).test},
	{"std", 15 * time.Minute, (*trial).std},
	{"board", 10 * time.Minute, (*trial).board},
}

// prepare builds yolk and writes the module that every version builds. Unlike this module, it
// asks for the oldest supported Go.
func (m *matrix) prepare(ctx context.Context) error {
	m.yolk = filepath.Join(m.work, "bin/yolk")
	build := exec.CommandContext(ctx, "go", "build", "-o", m.yolk, "./tools/yolk")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("run this in the root of the repository: go build ./tools/yolk: %w\n%s", err, out)
	}
	src := filepath.Join(m.work, "src")
	for to, from := range map[string]string{".": "tools/matrix/testdata/smoke", "hello": "examples/hello", "web": "examples/web"} {
		if err := os.CopyFS(filepath.Join(src, to), os.DirFS(from)); err != nil {
			return err
		}
	}
	m.work = src
	return nil
}

// trial is one version being tried.
type trial struct {
	*matrix
	version string
	cache   string
}

// try runs the steps until one fails.
func (m *matrix) try(ctx context.Context, version, key string) (row, error) {
	t := &trial{matrix: m, version: version, cache: filepath.Join(m.cache, version)}
	r := row{Go: version, Port: key, Seconds: map[string]float64{}}
	edits, err := toolchain.PortEdits(version)
	if err != nil {
		return r, err
	}
	for _, f := range edits {
		r.Edited += f.Lines()
	}
	for _, s := range steps {
		start := time.Now()
		limited, cancel := context.WithTimeout(ctx, s.limit)
		err := s.do(t, limited)
		cancel()
		r.Seconds[s.name] = time.Since(start).Seconds()
		fmt.Fprintf(os.Stderr, "matrix: %s %s %.0f s\n", version, s.name, r.Seconds[s.name])
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if err != nil {
			r.Error = fmt.Sprintf("%s: %v", s.name, err)
			fmt.Fprintf(os.Stderr, "matrix: %s %s\n", version, r.Error)
			break
		}
	}
	if m.keep || r.Error != "" { // the next run starts from there
		return r, nil
	}
	return r, t.yolkCommand(ctx, "toolchain", "clean").Run()
}

// command returns a command in the module of programs, with GOTOOLCHAIN set to the version. When
// ctx ends it is asked to stop, then killed.
func (t *trial) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.work
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+t.version, "YOLK_CACHE="+t.cache, "GOFLAGS=", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

func (t *trial) yolkCommand(ctx context.Context, args ...string) *exec.Cmd {
	return t.command(ctx, t.yolk, args...)
}

// expect runs a command and checks its exit status and output.
func expect(cmd *exec.Cmd, status int, want string) error {
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); got != status || !strings.Contains(string(out), want) {
		return fmt.Errorf("status %d, want %d and %q in: %s%s", got, status, want, tail(out), tail(errs.Bytes()))
	}
	return nil
}

// tail returns the end of a command's output.
func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

func (t *trial) fetch(ctx context.Context) error {
	return expect(t.command(ctx, "go", "version"), 0, t.version+" ")
}

func (t *trial) toolchain(ctx context.Context) error {
	return expect(t.yolkCommand(ctx, "toolchain", "path"), 0, t.version+"-")
}

func (t *trial) hello(ctx context.Context) error {
	return expect(t.yolkCommand(ctx, "run", "./hello", "one"), 0, "from "+t.version+" on linux/amd64 with 1 CPU(s)\narguments: [one]\n")
}

func (t *trial) status(ctx context.Context) error {
	return expect(t.yolkCommand(ctx, "run", ".", "one", "two"), 7, "")
}

func (t *trial) test(ctx context.Context) error {
	return expect(t.yolkCommand(ctx, "test", "-e", "WANT_GO="+t.version, "-smp", "2", "-count=1", "."), 0, "ok ")
}

// std skips two tests that start their binary as a process: there is only one process.
func (t *trial) std(ctx context.Context) error {
	return expect(t.yolkCommand(ctx, "test", "-short", "-count=1", "-skip", "TestMutexMisuse|TestIssue76126", "sync", "context"), 0, "ok ")
}

// board runs a program of the TamaGo framework, which asks for Go 1.26.2: what its packages refer to in
// package runtime is a matter of the release.
func (t *trial) board(ctx context.Context) error {
	if goversion.Compare(t.version, "go1.26.2") < 0 {
		return nil
	}
	return expect(t.yolkCommand(ctx, "run", "-tags=tamago", "./board"), 0, "console at 0x3f8")
}

// web fetches a page and asks the machine to stop.
func (t *trial) web(ctx context.Context) error {
	image := filepath.Join(t.work, "web.elf")
	if err := expect(t.yolkCommand(ctx, "build", "-o", image, "./web"), 0, ""); err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := t.yolkCommand(ctx, "run", "-p", addr+":8080", image)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	page, err := fetchPage(ctx, "http://"+addr+"/")
	cmd.Process.Signal(syscall.SIGTERM)
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err == nil && (!strings.Contains(page, "It runs "+t.version+" ") || !strings.Contains(out.String(), "after 1 visits")) {
		err = fmt.Errorf("the page is %q", page)
	}
	if err != nil {
		return fmt.Errorf("%w; the machine said: %s", err, tail(out.Bytes()))
	}
	return nil
}

// freeAddr returns a loopback address with an unused port.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// fetchPage tries until the machine has booted, for two minutes.
func fetchPage(ctx context.Context, url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		var resp *http.Response
		if resp, err = client.Get(url); err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(body), err
	}
	return "", fmt.Errorf("no page in two minutes: %w", err)
}
