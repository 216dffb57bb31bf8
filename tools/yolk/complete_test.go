package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What can follow is offered: commands, their flags, names of VMs, and nothing where a file may be meant.
func TestComplete(t *testing.T) {
	background(t)
	name := detach(t, echo())
	for _, tt := range []struct {
		words []string
		want  []string // among others, if it ends with "..."
	}{
		{[]string{"re"}, []string{"restart"}},
		{[]string{""}, []string{"run", "build", "ask", "completion", "..."}},
		{[]string{"help", "doc"}, []string{"doctor"}},
		{[]string{"run", "-sto"}, []string{"-stop-timeout"}},
		{[]string{"run", "-p", "80:80", "-"}, []string{"-p", "-m", "-v", "-q", "-d", "-strict", "-qemu-arg", "..."}},
		{[]string{"logs", "-"}, []string{"-f", "-since", "-t", "..."}},
		{[]string{"stop", ""}, []string{name}},
		{[]string{"logs", "-f", name[:1]}, []string{name}},
		{[]string{"ask", "no"}, nil},
		{[]string{"run", "./ex"}, nil},
		{[]string{"build", ""}, nil},
		{[]string{"fly", ""}, nil},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
	} {
		got := yolk(t, append([]string{completeName}, tt.words...)...)
		list := strings.Fields(got.out)
		some := len(tt.want) > 0 && tt.want[len(tt.want)-1] == "..."
		if some {
			for _, w := range tt.want[:len(tt.want)-1] {
				if !slices.Contains(list, w) {
					t.Errorf("%q: %q; %s is missing", tt.words, list, w)
				}
			}
		} else if !slices.Equal(list, tt.want) {
			t.Errorf("%q: %q; want %q", tt.words, list, tt.want)
		}
	}
}

// bash runs its function.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	script := yolk(t, "completion", "bash").out
	cmd := exec.Command(bash, "--norc", "-c", `yolk() { echo "$#|$1|$2|$3"; }`+"\n"+script+`
COMP_WORDS=(yolk run "-p x" -m after); COMP_CWORD=3; _yolk; echo "${COMPREPLY[0]}"; complete -p yolk`)
	out, err := cmd.CombinedOutput()
	if want := "4|" + completeName + "|run|-p x\ncomplete -o default -F _yolk yolk\n"; err != nil || string(out) != want {
		t.Errorf("bash: %q, %v; want %q", out, err, want)
	}
}
