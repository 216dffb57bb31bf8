package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/bootline"
	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
)

// hook runs one binary for go run and go test: go_tamago_amd64_exec BINARY ARGS... with the
// package's folder, in its module, as the working directory.
func hook(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return usage("", "%s is the go command's hook: %s BINARY [arguments]", hookName, hookName)
	}
	v, err := hookFlags(os.Getenv("YOLK_MEM"), os.Getenv("YOLK_RUN_FLAGS"))
	if err != nil {
		return usage("", "%v", err)
	}
	im, err := elfcheck.Check(args[0])
	if err != nil {
		return fail("", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fail("", err)
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return fail("", err)
	}
	v.env = append(hookEnv(os.Environ()), v.env...)
	if v.cwd == "" {
		v.cwd = dir
		v.addHostFolders(hostFolders(dir, args, os.Environ()))
	}
	return v.boot(ctx, im, args[0], args[1:])
}

func hookFlags(mem, flags string) (*vmFlags, error) {
	v := newVMFlags()
	v.quiet = true
	v.memory = 512 << 20
	if mem != "" {
		if err := v.setMemory(mem); err != nil {
			return nil, fmt.Errorf("YOLK_MEM: %w", err)
		}
	}
	words, err := splitWords(flags)
	if err == nil {
		var rest []string
		if rest, err = v.parse(words, nil); err == nil && len(rest) > 0 {
			err = fmt.Errorf("%q is not a flag", rest[0])
		}
	}
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return nil, fmt.Errorf("YOLK_RUN_FLAGS: %w", err)
	}
	return v, nil
}

// hostOnly are variables that describe the host, the user's session or the go command, and would
// mislead a program in the guest. All others are passed.
var hostOnly = map[string]bool{
	"PATH": true, "HOME": true, "PWD": true, "OLDPWD": true, "SHELL": true, "SHLVL": true, "_": true,
	"USER": true, "LOGNAME": true, "MAIL": true, "TMPDIR": true, "DISPLAY": true, "WAYLAND_DISPLAY": true,
	"GOROOT": true, "GOPATH": true, "GOBIN": true, "GOCACHE": true, "GOMODCACHE": true, "GOENV": true,
	"GOOS": true, "GOARCH": true, "GOFLAGS": true, "GOTOOLCHAIN": true, "GOPROXY": true, "GOSUMDB": true,
	"GOPRIVATE": true, "GONOPROXY": true, "GONOSUMDB": true, "GOMOD": true, "GOWORK": true, "GO111MODULE": true,
	"GOAUTH": true, "GOTMPDIR": true, "GOEXE": true, "CGO_ENABLED": true, "CC": true, "CXX": true,
	"YOLK_MEM": true, "YOLK_RUN_FLAGS": true, "YOLK_CACHE": true, "LS_COLORS": true,
}

var hostOnlyPrefixes = []string{"LD_", "XDG_", "SSH_", "DBUS_", "GPG_", "SUDO_", "BASH_", "GIT_", "CGO_"}

// hookEnv selects the variables of the host's environment that a program gets.
func hookEnv(env []string) []string {
	var out []string
next:
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if hostOnly[name] || !bootline.ValidKey(name) {
			continue
		}
		for _, p := range hostOnlyPrefixes {
			if strings.HasPrefix(name, p) {
				continue next
			}
		}
		out = append(out, kv)
	}
	return out
}

// splitWords splits a line as sh(1) does, for words that are plain, quoted, or have a backslash
// outside of quotes.
func splitWords(s string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		in    bool // inside a word
		quote rune
		plain bool // the last character was a backslash
	)
	for _, r := range s {
		switch {
		case plain:
			word.WriteRune(r)
			plain = false
		case quote == 0 && r == '\\':
			plain, in = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case strings.ContainsRune(" \t\n", r):
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed in %q", s)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// installHook puts a copy of this program in the toolchain under the hook's name. A link would
// dangle if yolk itself was started by go run.
func installHook(goroot string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	want, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	dst := filepath.Join(goroot, "bin", hookName)
	if have, err := os.ReadFile(dst); err == nil && bytes.Equal(have, want) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(dst), hookName)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(want)
	if err == nil {
		err = tmp.Chmod(0o755)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), dst)
}
