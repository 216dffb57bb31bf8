package target

import (
	"fmt"
	"strings"
)

// The flags that go build shares with go install, go help build.
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

// CutFlag takes one go build flag from the front of args and returns it in the
// form -name=value, how many arguments it took, and whether it was one.
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
