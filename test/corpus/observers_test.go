package corpus

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// difference is a name in observers/differences.txt.
type difference struct {
	name   string
	match  *regexp.Regexp
	always bool // it is one in each run
	seen   bool
}

func differences(t *testing.T) []*difference {
	text, err := os.ReadFile(filepath.Join(vm.Root(t), "test/corpus/observers/differences.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []*difference
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, sometimes := strings.CutPrefix(line, "? ")
		pattern := strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`)
		list = append(list, &difference{name: name, match: regexp.MustCompile("^" + pattern + "$"), always: !sometimes})
	}
	return list
}

// viewsOf reads the lines that an observer prints: a kind for each figure.
func viewsOf(text string) map[string]string {
	views := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 3); len(f) == 3 && f[0] == "view" {
			views[f[1]] = f[2]
		}
	}
	return views
}

// less reports whether the VM tells less than Linux does.
func less(linux, here string) bool {
	switch here {
	case linux:
		return false
	case "", "error":
		return linux != "error"
	case "zero", "empty":
		return linux != "zero" && linux != "empty" && linux != "error"
	}
	return here == "negative"
}

// What tools tell of a machine is there in a VM, or stands in differences.txt with a reason.
func TestObservers(t *testing.T) {
	list := differences(t)
	for _, program := range []string{"gopsutil", "prometheus"} {
		text, err := os.ReadFile(filepath.Join(vm.Root(t), "test/corpus/observers", program, "linux.txt"))
		if err != nil {
			t.Fatal(err)
		}
		m := boot(t, "observers/"+program, []string{"-smp", "2"})
		m.WaitFor("\ndone")
		linux, here := viewsOf(string(text)), viewsOf(m.Stdout())
		if len(linux) < 300 || len(here) < 300 {
			t.Fatalf("%s prints %d figures on Linux, %d here", program, len(linux), len(here))
		}
		for name, kind := range here {
			if _, ok := linux[name]; !ok && kind == "error" {
				linux[name] = "text" // the name of the whole, which has none of its parts
			}
		}
		for name, kind := range linux {
			if less(kind, here[name]) && !explain(list, name) {
				t.Errorf("%s: %s is %q; Linux has %q", program, name, here[name], kind)
			}
		}
	}
	for _, d := range list {
		if d.always && !d.seen {
			t.Errorf("differences.txt lists %s, which does not differ", d.name)
		}
	}
}

// explain marks the differences that match a name.
func explain(list []*difference, name string) (found bool) {
	for _, d := range list {
		if d.match.MatchString(name) {
			d.seen, found = true, true
		}
	}
	return found
}
