package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What the commands print as JSON is what docs/vm.schema.json says.
func TestSchema(t *testing.T) {
	background(t)
	name := detach(t, echo(), "-e", "A=b", "-stop-timeout", "1")
	got := yolk(t, "run", "-d", "-accel=tcg", "-m", "16M", "-p", ":80", "-health", "tcp:80", "-restart", "on-failure:2", guest(t, echo()))
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	check := func(args ...string) {
		t.Helper()
		got := yolk(t, args...)
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got.out))
		if err != nil {
			t.Fatalf("yolk %q: %v (%+v)", args, err, got)
		}
		schema, err := jsonschema.NewCompiler().Compile("../../docs/vm.schema.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("yolk %q: %v", args, err)
		}
	}
	check("ps", "-json")
	check("stats", "-json")
	yolk(t, "stop", name)
	check("ps", "-a", "-json")
	check("inspect", name)
	find(t, "app-2").State.QEMU.Kill()
	check("inspect", "app-2")
}

// docs/many.md and the help of each command know the same flags.
func TestManyPageHasFlags(t *testing.T) {
	text, err := os.ReadFile("../../docs/many.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		row := regexp.MustCompile("(?m)^\\| `yolk " + c.name + "\\b[^`]*`").FindString(string(text))
		if row == "" && strings.Contains("ps logs attach stop kill restart wait rm ask inspect stats", c.name) {
			t.Errorf("docs/many.md does not have yolk %s", c.name)
		}
		usage, _, _ := strings.Cut(c.help, "\n")
		if row != "" && c.name != "run" && !strings.Contains(row, strings.TrimPrefix(usage, "Usage: ")) {
			t.Errorf("docs/many.md has %q, and yolk %s -h %q", row, c.name, usage)
		}
	}
}
