package target

import (
	"context"
	"fmt"
	"strings"
)

// These are the flags that go build shares with go install: go help build.
var (
	valueFlags = set("p", "asmflags", "buildmode", "compiler", "covermode", "coverpkg", "gccgoflags",
		"gcflags", "installsuffix", "ldflags", "mod", "modfile", "overlay", "pgo", "pkgdir", "tags", "toolexec")
	boolFlags = set("a", "v", "x", "work", "trimpath", "buildvcs", "modcacherw", "cover")
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// buildFlags returns Flags and a flag for Tags.
func (b *Builder) buildFlags(ctx context.Context, dir string) ([]string, error) {
	last, err := b.TagFlags(ctx, dir, b.Flags)
	return append(b.Flags[:len(b.Flags):len(b.Flags)], last...), err
}

// TagFlags returns a flag that, after flags, adds Tags to the tags that the go command would use:
// of several -tags it uses the last, and those of GOFLAGS only if there is none. It returns
// nothing if there are no Tags.
func (b *Builder) TagFlags(ctx context.Context, dir string, flags []string) ([]string, error) {
	if len(b.Tags) == 0 {
		return nil, nil
	}
	tags, ok := lastTags(flags)
	if !ok {
		cmd := b.Go(ctx, "env", "GOFLAGS")
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go env GOFLAGS: %w", err)
		}
		tags, _ = lastTags(strings.Fields(string(out)))
	}
	if tags != "" {
		tags += ","
	}
	return []string{"-tags=" + tags + strings.Join(b.Tags, ",")}, nil
}

// lastTags returns the value of the last -tags among flags.
func lastTags(flags []string) (tags string, ok bool) {
	for _, f := range flags {
		if v, is := strings.CutPrefix("-"+strings.TrimLeft(strings.Trim(f, `'"`), "-"), "-tags="); is {
			tags, ok = strings.ReplaceAll(v, " ", ","), true // as before Go 1.13
		}
	}
	return tags, ok
}

// CutFlag takes one go build flag from the front of args. It returns the flag in the form
// -name=value, how many arguments it took, and whether there was a flag.
func CutFlag(args []string) (flag string, n int, ok bool, err error) {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") {
		return "", 0, false, nil
	}
	name, _, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	dashed := "-" + strings.TrimLeft(args[0], "-")
	switch {
	case boolFlags[name], valueFlags[name] && hasValue:
		return dashed, 1, true, nil
	case valueFlags[name] && len(args) > 1:
		return dashed + "=" + args[1], 2, true, nil
	case valueFlags[name]:
		return "", 0, false, fmt.Errorf("flag -%s needs a value", name)
	}
	return "", 0, false, nil
}
