package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	v.quiet, v.fromGo = true, true
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
	if err == nil && v.detach {
		err = errors.New("-d is for yolk run: the go command waits for the program")
	}
	if err != nil {
		return nil, fmt.Errorf("YOLK_RUN_FLAGS: %w", err)
	}
	return v, nil
}

// passed are the variables of the host that a program of go run and go test gets: settings of the
// Go runtime and of package testing, language, time zone. Any other may be a secret of the user's
// session or mislead the program. A * ends a prefix.
var passed = []string{
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR",
	"TZ", "LANG", "LANGUAGE", "LC_*", "TERM", "NO_COLOR", "CI", "TEST_*",
}

// hookEnv selects the variables that a program gets: those of passed, and those that the
// variable YOLK_ENV names, in the same form, separated by spaces or commas.
func hookEnv(env []string) []string {
	allow := passed
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "YOLK_ENV="); ok {
			allow = append(allow[:len(allow):len(allow)], strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })...)
		}
	}
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if bootline.ValidKey(name) && slices.ContainsFunc(allow, func(p string) bool { return matches(name, p) }) {
			out = append(out, kv)
		}
	}
	return out
}

// matches reports whether pattern is the name, or a prefix of it that ends with *.
func matches(name, pattern string) bool {
	prefix, ok := strings.CutSuffix(pattern, "*")
	return name == pattern || ok && strings.HasPrefix(name, prefix)
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
