package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

const completionHelp = `Usage: yolk completion bash|zsh|fish

Prints what makes a shell complete yolk's commands, flags and names of VMs.

Examples:
    source <(yolk completion bash)                                # in ~/.bashrc
    source <(yolk completion zsh)                                 # in ~/.zshrc
    yolk completion fish > ~/.config/fish/completions/yolk.fish
`

// completeName is the command that the shells call; it is not listed.
const completeName = "__complete"

// completions are the shells' functions. Where yolk has nothing to offer they complete names of files.
var completions = map[string]string{
	"bash": `_yolk() {
	COMPREPLY=()
	mapfile -t COMPREPLY < <(yolk ` + completeName + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _yolk yolk
`,
	"zsh": `_yolk() {
	local -a found
	found=("${(@f)$(yolk ` + completeName + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n $found ]]; then compadd -a found; else _files; fi
}
compdef _yolk yolk
`,
	"fish": `complete -c yolk -a '(yolk ` + completeName + ` (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

func completionCommand(_ context.Context, args []string) int {
	if len(args) != 1 || completions[args[0]] == "" {
		return usage("completion", "name a shell: bash, zsh or fish")
	}
	fmt.Print(completions[args[0]])
	return 0
}

// completeCommand prints what the last of the words can become, one candidate a line.
func completeCommand(words []string) int {
	for _, c := range candidates(words) {
		fmt.Println(c)
	}
	return 0
}

// candidates returns what the last word, which may be empty, can become; nothing if that may be the name of a file.
func candidates(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	var list []string
	last := words[len(words)-1]
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == words[0] })
	switch {
	case len(words) == 1:
		for _, c := range commands {
			list = append(list, c.name)
		}
	case words[0] == "help":
		return candidates(words[1:])
	case i < 0:
		return nil
	case strings.HasPrefix(last, "-"):
		list = flagsOf(commands[i].help)
	case takesVMs(commands[i].help):
		list = vmNames()
	case words[0] == "completion":
		list = []string{"bash", "fish", "zsh"}
	}
	return slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, last) })
}

var (
	flagLine  = regexp.MustCompile(`(?m)^    (-[a-z][a-z-]*)`)
	flagUsage = regexp.MustCompile(`[\[ ](-[a-z][a-z-]*)`)
)

// flagsOf returns the flags that a command's help has: those of its first paragraph and of its list.
func flagsOf(help string) []string {
	first, _, _ := strings.Cut(help, "\n\n")
	var list []string
	for _, m := range append(flagUsage.FindAllStringSubmatch(first, -1), flagLine.FindAllStringSubmatch(help, -1)...) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// takesVMs reports whether a command is about VMs by their names.
func takesVMs(help string) bool {
	first, _, _ := strings.Cut(help, "\n\n")
	return strings.Contains(first, "NAME") && !strings.Contains(first, "TARGET")
}

// vmNames are those of the VMs of this user.
func vmNames() (list []string) {
	vms, err := vmdir.List()
	if err != nil {
		return nil
	}
	for _, vm := range vms {
		list = append(list, vm.Name)
	}
	return list
}
