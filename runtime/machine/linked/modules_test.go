package linked

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestAddModules(t *testing.T) {
	const start, end = "0123456789abcdef", "fedcba9876543210"
	modules := []Module{
		{"a.org/kernel", "v1.0.0", "", []string{"runtime/yolk/kernel"}},
		{"b.org/stack", "v2.0.0", "h1:b=", []string{"stack/tcp", "stack/udp"}},
		{"c.org/none", "v3.0.0", "h1:c=", []string{"none"}},
	}
	in := In(modules, func(path string) bool { return path == "runtime/yolk/kernel" || path == "stack/udp" })
	for name, tt := range map[string]struct {
		info string
		deps []string
	}{
		"none":         {"path\tx\nmod\tx.org/x\t(devel)\t\nbuild\t-a=b\n", []string{"a.org/kernel v1.0.0 ", "b.org/stack v2.0.0 h1:b="}},
		"more":         {"path\tx\nmod\tx.org/x\t(devel)\t\ndep\tz.org/z\tv1.0.0\th1:z=\nbuild\t-a=b\n", []string{"z.org/z v1.0.0 h1:z=", "a.org/kernel v1.0.0 ", "b.org/stack v2.0.0 h1:b="}},
		"the same":     {"path\tx\nmod\tx.org/x\t(devel)\t\ndep\tb.org/stack\tv2.0.0\th1:b=\nbuild\t-a=b\n", []string{"b.org/stack v2.0.0 h1:b=", "a.org/kernel v1.0.0 "}},
		"another":      {"path\tx\nmod\tx.org/x\t(devel)\t\ndep\tb.org/stack\tv1.9.0\th1:o=\nbuild\t-a=b\n", []string{"b.org/stack v1.9.0 h1:o=", "a.org/kernel v1.0.0 ", "b.org/stack v2.0.0 h1:b="}},
		"it is itself": {"path\tx\nmod\ta.org/kernel\t(devel)\t\nbuild\t-a=b\n", []string{"b.org/stack v2.0.0 h1:b="}},
		"no settings":  {"path\tx\nmod\tx.org/x\t(devel)\t\n", []string{"a.org/kernel v1.0.0 ", "b.org/stack v2.0.0 h1:b="}},
	} {
		got := AddModules(start+tt.info+end, in)
		text, ok := strings.CutPrefix(got, start)
		text, ok2 := strings.CutSuffix(text, end)
		info, err := debug.ParseBuildInfo(text)
		if !ok || !ok2 || err != nil {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		var deps []string
		for _, m := range info.Deps {
			deps = append(deps, m.Path+" "+m.Version+" "+m.Sum)
		}
		if !slices.Equal(deps, tt.deps) || strings.Contains(tt.info, "build\t") != (len(info.Settings) == 1) {
			t.Errorf("%s: modules %q; want %q\n%s", name, deps, tt.deps, text)
		}
	}
	if got := AddModules("", in); got != "" {
		t.Errorf("no build information became %q", got)
	}
}
